import pytest
import torch

from nextclick.models.ops.nearest_rows import nearest, weighted_rows


def plain(query, table, hidden, k):
    products = (query @ table.T).masked_fill(hidden, -torch.inf)
    return products.topk(k, dim=1)


def sorted_by_row(products, rows):
    order = rows.argsort(dim=1)
    return products.gather(1, order), rows.gather(1, order)


@pytest.mark.parametrize("k", [1, 3, 40])
def test_products_rows_and_gradients_equal_topk(k):
    torch.manual_seed(k)
    table = torch.randn(40, 6)
    hidden = torch.rand(9, 40) < 0.3
    expected_query = torch.randn(9, 6)
    actual_query = expected_query.clone()
    expected, expected_rows = sorted_by_row(
        *plain(expected_query.requires_grad_(), table, hidden, k)
    )
    actual, rows = sorted_by_row(*nearest(actual_query.requires_grad_(), table, hidden, k))
    finite = expected > -torch.inf  # any hidden rows may fill the remainder
    assert torch.equal(rows[finite], expected_rows[finite])
    torch.testing.assert_close(actual.sort().values, expected.sort().values)
    weight = torch.rand(9, 40)
    for products, rows_read in ((expected, expected_rows), (actual, rows)):
        read = products.masked_fill(products == -torch.inf, 0.0)
        (read * weight.gather(1, rows_read)).sum().backward()
    torch.testing.assert_close(actual_query.grad, expected_query.grad)


def test_ties_select_the_first_rows():
    table = torch.tensor([[1.0], [2.0], [1.0], [1.0]])
    no_mask = torch.zeros(1, 4, dtype=torch.bool)
    products, rows = nearest(torch.tensor([[1.0]]), table, no_mask, 3)
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
    no_mask = torch.zeros(1, 4, dtype=torch.bool)
    products, rows = nearest(torch.tensor([[1.0]]), table, no_mask, 2)
    assert len(set(rows[0].tolist())) == 2
    assert products[0].isnan().sum() == min(len(bad), 2)
