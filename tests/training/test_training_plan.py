"""The length of a run: hand-worked plans of short and long logs."""

from dataclasses import replace

import pytest

from nextclick.core.sessions import Sessions
from nextclick.training.training_config import TrainingConfig
from nextclick.training.training_plan import TrainingPlan

CONFIG = TrainingConfig(batch_size=10, epochs=4, min_steps=40, max_steps=80, validations=4)


def log(n_prefixes):
    """Sessions of one prefix each."""
    return Sessions.from_lists([[1, 2]] * n_prefixes, n_items=2)


@pytest.mark.parametrize(
    ("n_prefixes", "passes", "ends"),
    [
        (50, 8, (2, 4, 6, 8)),  # 5 steps a pass: 8 passes have 40 steps
        (150, 4, (1, 2, 3, 4)),  # 15 steps a pass: 4 passes have 60
        (400, 2, (0.5, 1, 1.5, 2)),  # 40 steps a pass: 2 passes have 80
        (1600, 0.5, (0.125, 0.25, 0.375, 0.5)),
    ],
)
def test_steps_limit_the_passes(n_prefixes, passes, ends):
    plan = TrainingPlan.create(CONFIG, log(n_prefixes))
    assert (plan.passes, plan.ends, plan.recent) == (passes, ends, 1.0)
    assert plan.steps_per_pass == n_prefixes // 10


def test_validations_are_at_the_end_of_a_pass_where_there_are_enough():
    config = replace(CONFIG, min_steps=0, max_steps=0, epochs=10)
    assert TrainingPlan.create(config, log(50)).ends == (2, 5, 8, 10)  # 2.5 and 7.5 rounded


def test_without_budgets_each_epoch_is_validated():
    config = TrainingConfig(batch_size=10, epochs=3)
    assert TrainingPlan.create(config, log(7)) == TrainingPlan(3, 1, (1, 2, 3))


def test_pretraining_counts_passes_alone():
    config = replace(CONFIG, pretrain_epochs=2)
    assert [TrainingPlan.create(config, log(n)).passes for n in (50, 1600)] == [4, 4]


def test_in_order_of_time_a_plan_has_whole_passes():
    config = replace(CONFIG, shuffle=False)
    plans = [TrainingPlan.create(config, log(n)) for n in (500, 1600)]
    assert [(plan.passes, plan.recent) for plan in plans] == [(1, 1.0), (1, 0.5)]


def test_the_first_intervals_of_a_plan_keep_its_schedule():
    plan = TrainingPlan.create(CONFIG, log(150))
    assert plan.until(3) == replace(plan, ends=(1, 2, 3))
    assert plan.until(3).passes == 4
