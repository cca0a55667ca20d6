"""Search spaces: widened, narrowed, and as JSON; `test_every_model` looks at those of models."""

import re

import pytest

from nextclick.core.search_space import (
    Bundles,
    Choice,
    FloatRange,
    IntRange,
    config_to_point,
    describe_space,
    drop_fixed,
    point_to_parameters,
    widen_to_include,
)

SPACE = {
    "k": IntRange(1, 10, log=True),
    "rate": FloatRange(0.1, 0.5),
    "kind": Choice("a", "b"),
    "loss": Bundles({"ce": {"loss": "ce", "n": 0}, "bpr": {"loss": "bpr", "n": 8}}),
}


def test_a_space_is_widened_to_hold_a_config():
    config = {"k": 20, "rate": 0.05, "kind": "c", "loss": "bpr", "n": 16}
    wide = widen_to_include(SPACE, config)
    assert (wide["k"], wide["rate"]) == (IntRange(1, 20, log=True), FloatRange(0.05, 0.5))
    assert wide["kind"] == Choice("a", "b", "c")
    point = config_to_point(wide, config)
    assert point == {"k": 20, "rate": 0.05, "kind": "c", "loss": "as given"}
    assert point_to_parameters(wide, point) == config
    inside = {"k": 2, "rate": 0.2, "kind": "a", "loss": "ce", "n": 0}
    assert widen_to_include(SPACE, inside) == SPACE
    assert config_to_point(SPACE, inside) == {"k": 2, "rate": 0.2, "kind": "a", "loss": "ce"}
    with pytest.raises(ValueError, match=re.escape("k: a logarithmic range cannot hold 0")):
        widen_to_include(SPACE, config | {"k": 0})


def test_what_is_fixed_leaves_the_space():
    assert set(drop_fixed(SPACE, ["n", "kind"])) == {"k", "rate"}


def test_a_space_as_json():
    assert describe_space(SPACE) == {
        "k": {"from": 1, "to": 10, "log": True},
        "rate": {"from": 0.1, "to": 0.5, "log": False},
        "kind": ["a", "b"],
        "loss": {"ce": {"loss": "ce", "n": 0}, "bpr": {"loss": "bpr", "n": 8}},
    }
