import pytest
import torch

from nextclick.models.ops.nearest_rows import EMPTY, nearest, weighted_rows


def plain(query, table, group, own_group, k):
    hidden = (group == EMPTY) | (group == own_group[:, None])
    products = (query @ table.T).masked_fill(hidden, -torch.inf)
    return products.topk(k, dim=1)


def sorted_by_row(products, rows):
    order = rows.argsort(dim=1)
    return products.gather(1, order), rows.gather(1, order)


@pytest.mark.parametrize("k", [1, 3, 40])
def test_products_rows_and_gradients_equal_topk(k):
    torch.manual_seed(k)
    table = torch.randn(40, 6)
    group, own_group = torch.randint(EMPTY, 4, (40,)), torch.randint(0, 4, (9,))
    expected_query = torch.randn(9, 6)
    actual_query = expected_query.clone()
    expected, expected_rows = sorted_by_row(
        *plain(expected_query.requires_grad_(), table, group, own_group, k)
    )
    actual, rows = sorted_by_row(
        *nearest(actual_query.requires_grad_(), table, group, own_group, k)
    )
    finite = expected > -torch.inf  # any hidden rows may fill the remainder
    assert torch.equal(rows[finite], expected_rows[finite])
    torch.testing.assert_close(actual.sort().values, expected.sort().values)
    weight = torch.rand(9, 40)
    for products, rows_read in ((expected, expected_rows), (actual, rows)):
        read = products.masked_fill(products == -torch.inf, 0.0)
        (read * weight.gather(1, rows_read)).sum().backward()
    torch.testing.assert_close(actual_query.grad, expected_query.grad)


@pytest.mark.parametrize("spread", [0.0, 1e-6, 1.0, 1e6])
def test_the_largest_of_any_distribution_are_found(spread):
    torch.manual_seed(0)
    table = torch.cat([torch.randn(300, 1) * spread, torch.full((20, 1), 0.25), torch.zeros(5, 1)])
    group = torch.zeros(325).long()
    group[310:318] = EMPTY
    for k in (1, 7, 100, 317, 318, 325):
        products, rows = nearest(torch.ones(1, 1), table, group, None, k)
        expected, _ = plain(torch.ones(1, 1), table, group, torch.tensor([1]), k)
        assert torch.equal(products.sort().values, expected.sort().values)
        assert len(set(rows[0].tolist())) == k


def test_ties_select_the_first_rows():
    table = torch.tensor([[1.0], [2.0], [1.0], [1.0]])
    products, rows = nearest(torch.tensor([[1.0]]), table, torch.zeros(4).long(), None, 3)
    assert rows.tolist() == [[1, 0, 2]]
    assert products.tolist() == [[2.0, 1.0, 1.0]]


def test_rows_are_summed_by_weight():
    table = torch.tensor([[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]])
    summed = weighted_rows(table, torch.tensor([[0, 1], [2, 0]]), torch.tensor([[2.0, 3], [1, 1]]))
    assert summed.tolist() == [[2.0, 3.0], [6.0, 5.0]]


@pytest.mark.parametrize("bad", [[0], [0, 1, 2], [0, 1, 2, 3]])
def test_nan_products_are_returned(bad):
    table = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    table[bad] = torch.nan
    products, rows = nearest(torch.tensor([[1.0]]), table, torch.zeros(4).long(), None, 2)
    assert len(set(rows[0].tolist())) == 2
    assert products[0].isnan().sum() == min(len(bad), 2)
