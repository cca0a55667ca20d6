"""Every model's space: it is there, its points are valid configs, and its presets lie in it."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextclick.core.config import describe
from nextclick.core.search_space import (
    Bundles,
    Choice,
    FloatRange,
    IntRange,
    around,
    describe_space,
    parameters_at,
    point_of,
    sets,
    without,
)
from nextclick.experiments.model_candidate import ModelCandidate
from nextclick.models import MODELS, model_class

TUNED = [name for name in MODELS if describe(model_class(name).Config)]


def values(dimension):
    if isinstance(dimension, IntRange):
        return st.integers(dimension.least, dimension.most)
    if isinstance(dimension, FloatRange):
        return st.floats(dimension.least, dimension.most)
    names = dimension.values if isinstance(dimension, Choice) else tuple(dimension.named)
    return st.sampled_from(names)


def points(space):
    return st.fixed_dictionaries({name: values(one) for name, one in space.items()})


@pytest.mark.parametrize("name", TUNED)
def test_every_model_with_parameters_has_a_space_of_its_own(name):
    contender = ModelCandidate(name)
    own = {parameter.name for parameter in describe(contender.model.Config)}
    named = {p for dimension, one in contender.space.items() for p in sets(dimension, one)}
    assert named & own
    assert named <= set(contender.parameters({}))
    if contender.neural:
        assert {"learning_rate", "batch_size", "epochs", "loss"} <= named
        assert ("shuffle" in named) == (name != "csrm"), "CSRM's memory needs the order of time"


@pytest.mark.parametrize("name", TUNED)
@settings(max_examples=15)
@given(data=st.data())
def test_any_point_of_a_space_is_a_config(name, data):
    contender = ModelCandidate(name)
    space = around(contender.space, contender.parameters({}))
    tried = parameters_at(space, data.draw(points(space)))
    found = contender.parameters(tried)  # raises where it is none
    assert {n: found[n] for n in tried} == tried


@pytest.mark.parametrize("name", TUNED)
def test_every_preset_is_a_point_of_the_space_widened_to_it(name):
    for preset in getattr(model_class(name), "PRESETS", {None: {}}):
        contender = ModelCandidate(name, preset)
        base = contender.parameters({})
        space = around(contender.space, base)
        values = parameters_at(space, point_of(space, base))
        assert {n: base[n] for n in values} == values
        assert contender.parameters(values) == base


SPACE = {
    "k": IntRange(1, 10, log=True),
    "rate": FloatRange(0.1, 0.5),
    "kind": Choice("a", "b"),
    "loss": Bundles({"ce": {"loss": "ce", "n": 0}, "bpr": {"loss": "bpr", "n": 8}}),
}


def test_a_space_is_widened_to_hold_a_config():
    config = {"k": 20, "rate": 0.05, "kind": "c", "loss": "bpr", "n": 16}
    wide = around(SPACE, config)
    assert (wide["k"], wide["rate"]) == (IntRange(1, 20, log=True), FloatRange(0.05, 0.5))
    assert wide["kind"] == Choice("a", "b", "c")
    point = point_of(wide, config)
    assert point == {"k": 20, "rate": 0.05, "kind": "c", "loss": "as given"}
    assert parameters_at(wide, point) == config
    inside = {"k": 2, "rate": 0.2, "kind": "a", "loss": "ce", "n": 0}
    assert around(SPACE, inside) == SPACE
    assert point_of(SPACE, inside) == {"k": 2, "rate": 0.2, "kind": "a", "loss": "ce"}
    with pytest.raises(ValueError, match=re.escape("k: a logarithmic range cannot hold 0")):
        around(SPACE, config | {"k": 0})


def test_what_is_fixed_leaves_the_space():
    assert set(without(SPACE, ["n", "kind"])) == {"k", "rate"}


def test_a_space_as_json():
    assert describe_space(SPACE) == {
        "k": {"from": 1, "to": 10, "log": True},
        "rate": {"from": 0.1, "to": 0.5, "log": False},
        "kind": ["a", "b"],
        "loss": {"ce": {"loss": "ce", "n": 0}, "bpr": {"loss": "bpr", "n": 8}},
    }
