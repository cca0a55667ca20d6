import pytest

from nextclick.models.classical.position_weights import CODES, position_weight, step_weight
from reference.session_knn import by_position, by_step


@pytest.mark.parametrize("kind", CODES)
def test_weights_equal_the_reference(kind):
    for n in range(1, 30):
        assert step_weight(CODES[kind], n) == pytest.approx(by_step(kind, n))
        assert position_weight(CODES[kind], n, 29) == pytest.approx(by_position(kind, n, 29))


def test_weights_by_hand():
    assert step_weight(CODES["div"], 4) == 0.25
    assert step_weight(CODES["quadratic"], 4) == 0.0625
    assert step_weight(CODES["linear"], 4) == pytest.approx(0.6)
    assert position_weight(CODES["div"], 1, 4) == 0.25
    assert position_weight(CODES["linear"], 1, 4) == pytest.approx(0.7)


@pytest.mark.parametrize("kind", CODES)
def test_weights_do_not_decrease_with_recency(kind):
    steps = [step_weight(CODES[kind], n) for n in range(1, 40)]
    positions = [position_weight(CODES[kind], p, 39) for p in range(1, 40)]
    assert steps == sorted(steps, reverse=True)
    assert positions == sorted(positions)
    assert min(steps + positions) >= 0
