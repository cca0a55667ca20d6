"""What ASARS carries from session to session: the chain of states, and the deviation of time."""

import numpy as np
import pytest
import torch
from test_asars_history import HISTORY, HOUR, batch_of, small_asars

from nextclick.core.session_history import SessionHistory
from nextclick.models.ops.earlier_sessions import history_inputs
from nextclick.models.ops.history_arrays import deviations_of

DAY = 24 * HOUR


def test_the_deviation_is_a_power_of_the_mean_age_in_days():
    """By hand: means of 10 and of 32 days; 32 ** 0.4 is 4. An unknown age does not count."""
    history = SessionHistory.from_lists(
        [[([1], 15 * DAY), ([2], 5 * DAY)], [([3], 32 * DAY), ([4], np.nan)], [([5], np.nan)], []]
    )
    np.testing.assert_allclose(deviations_of(history), [10**0.4, 4.0, 0.0, 0.0], rtol=1e-6)
    np.testing.assert_allclose(deviations_of(history.latest(1))[0], 5**0.4, rtol=1e-6)
    np.testing.assert_array_equal(deviations_of(history.take([3, 1])), [0.0, np.float32(4.0)])


def test_the_profile_shifts_by_the_deviation():
    model = small_asars({"variant": "user_cat", "history_deviation": True})
    encoder, batch = model.encoder, batch_of()
    _, _, inputs = model._encoder_inputs(batch, np.arange(4))
    with torch.no_grad():
        got = encoder._profile(inputs["users"], torch.zeros(4, 1, 5), inputs["history"])[:, 0]
        users = torch.where(encoder.seen_users[inputs["users"]], inputs["users"], 0)
        days = [(30 + 1.5) / 2 / 24, None, None, (90 + 2) / 2 / 24]  # the age of row 1 is unknown
        for b, mean in enumerate(days):
            deviation = 0.0 if mean is None else mean**0.4
            shift = encoder.speed.weight[users[b]] * deviation * encoder.direction
            torch.testing.assert_close(got[b], encoder.users.weight[users[b]] + shift)


def test_a_variant_without_users_has_no_profile_that_shifts():
    model = small_asars({"variant": "time_att", "history_deviation": True})
    assert model.requires(model.config) == {"times"}


def test_the_rows_of_the_gaps_between_earlier_sessions():
    history = SessionHistory.from_lists(
        [[([1], 40 * HOUR), ([2], 9 * HOUR), ([3], np.nan), ([4], HOUR)], [([5], 30 * HOUR)]]
    )
    gaps = history_inputs(history).gaps
    assert gaps[1:4].tolist() == [6, 0, 0]  # 31 hours; unknown


@pytest.mark.parametrize("gradient", ["cut", "carried"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_chain_session_by_session(cell, gradient):
    values = {"variant": "user_cat", "cell": cell, "history_chain": gradient}
    model = small_asars(values)
    encoder, chain = model.encoder, model.encoder.carried
    _, _, inputs = model._encoder_inputs(batch_of(), np.arange(4))
    # clicks, the row of the gap to the session before, and of the age of the latest session
    rows = [([([3, 1, 3], 0), ([2, 5], 6)], 2), ([([7], 0)], 0), ([], 0)]
    with torch.no_grad():
        got = encoder._initial_state(inputs["history"])
        decay = torch.sigmoid(chain.decay.weight)
        for b, (sessions, age) in enumerate(rows):
            state = torch.zeros(1, 5)
            for clicks, gap in sessions:
                _, final = encoder.rnn(encoder.items(torch.tensor([clicks])))
                final = final[0] if cell == "lstm" else final
                state = chain.cell(final[0], decay[gap] * state)
            expected = decay[age] * state[0] if sessions else torch.zeros(5)
            for found in got if cell == "lstm" else [got]:
                torch.testing.assert_close(found[0, b], expected)
        # row 3: the second session has no known click, and time passes
        _, final = encoder.rnn(encoder.items(torch.tensor([[4, 4, 4, 4]])))
        final = final[0] if cell == "lstm" else final
        state = chain.cell(final[0], torch.zeros(1, 5))
        state = chain.cell(torch.zeros(1, 5), decay[8] * state)
        torch.testing.assert_close((got[0] if cell == "lstm" else got)[0, 3], (decay[3] * state)[0])


@pytest.mark.parametrize("gradient", ["cut", "carried"])
def test_the_gradient_into_the_clicks_of_earlier_sessions(gradient):
    model = small_asars({"variant": "user_cat", "cell": "gru", "history_chain": gradient})
    encoder, inputs = model.encoder, history_inputs(HISTORY)
    encoder._initial_state(inputs).sum().backward()
    assert encoder.carried.cell.weight_ih.grad.abs().sum() > 0
    assert encoder.carried.decay.weight.grad.abs().sum() > 0
    reached = [encoder.items.weight.grad, encoder.rnn.weight_ih_l0.grad]
    if gradient == "cut":
        assert reached == [None, None]
    else:
        assert all(grad.abs().sum() > 0 for grad in reached)


def test_every_session_of_the_chain_counts():
    model = small_asars({"variant": "time_att", "history_chain": "carried"})
    batch = batch_of(SessionHistory.from_lists([[([n, 2], 9 * DAY), ([3], DAY)] for n in (1, 4)]))
    batch = batch.take([0, 0]), batch.take([0, 1])
    same, other = (model.score(one) for one in batch)
    np.testing.assert_array_equal(same[0], other[0])
    carries_one = small_asars({"variant": "time_att", "history": "state"})
    assert carries_one.capabilities.earlier_sessions == 10
    chain = model.encoder._initial_state(
        model._encoder_inputs(batch[1], np.arange(2))[2]["history"]
    )
    assert not torch.allclose(chain[0][0, 0], chain[0][0, 1])


def test_a_chain_takes_the_place_of_the_state_of_the_latest_session():
    model = small_asars({"history": "all", "history_chain": "cut"})
    assert model.config.history_parts == {"attention", "repeat", "chain"}
