import pytest
import torch

from nextclick.models.ops.nearest_rows import nearest, weighted_rows


def plain(query, table, hidden, k):
    products = (query @ table.T).masked_fill(hidden, -torch.inf)
    return products.topk(k, dim=1)


def sorted_by_place(products, at):
    order = at.argsort(dim=1)
    return products.gather(1, order), at.gather(1, order)


@pytest.mark.parametrize("k", [1, 3, 40])
def test_products_places_and_gradients_are_those_of_topk(k):
    torch.manual_seed(k)
    table = torch.randn(40, 6)
    hidden = torch.rand(9, 40) < 0.3
    expected_of = torch.randn(9, 6)
    found_of = expected_of.clone()
    expected, expected_at = sorted_by_place(*plain(expected_of.requires_grad_(), table, hidden, k))
    found, at = sorted_by_place(*nearest(found_of.requires_grad_(), table, hidden, k))
    shown = expected > -torch.inf  # which of the hidden rows fill the rest does not matter
    assert torch.equal(at[shown], expected_at[shown])
    torch.testing.assert_close(found.sort().values, expected.sort().values)
    weight = torch.rand(9, 40)
    for products, places in ((expected, expected_at), (found, at)):
        read = products.masked_fill(products == -torch.inf, 0.0)
        (read * weight.gather(1, places)).sum().backward()
    torch.testing.assert_close(found_of.grad, expected_of.grad)


def test_of_equal_products_the_first_rows_are_taken():
    table = torch.tensor([[1.0], [2.0], [1.0], [1.0]])
    none = torch.zeros(1, 4, dtype=torch.bool)
    products, at = nearest(torch.tensor([[1.0]]), table, none, 3)
    assert at.tolist() == [[1, 0, 2]]
    assert products.tolist() == [[2.0, 1.0, 1.0]]


def test_rows_are_summed_by_weight():
    table = torch.tensor([[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]])
    summed = weighted_rows(table, torch.tensor([[0, 1], [2, 0]]), torch.tensor([[2.0, 3], [1, 1]]))
    assert summed.tolist() == [[2.0, 3.0], [6.0, 5.0]]


@pytest.mark.parametrize("bad", [[0], [0, 1, 2], [0, 1, 2, 3]])
def test_numbers_that_are_none_pass_through(bad):
    table = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    table[bad] = torch.nan
    none = torch.zeros(1, 4, dtype=torch.bool)
    products, at = nearest(torch.tensor([[1.0]]), table, none, 2)
    assert len(set(at[0].tolist())) == 2
    assert products[0].isnan().sum() == min(len(bad), 2)
