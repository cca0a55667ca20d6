"""Recipe files: reading, errors, and the recipes of this repository."""

from pathlib import Path
from typing import Any

import pytest

from nextclick.errors import ConfigError
from nextclick.experiments.recipe import Recipe, read_recipe
from nextclick.models.model_registry import model_class
from nextclick.training.training_config import build_configs

OURS = sorted((Path(__file__).parents[2] / "recipes").rglob("*.toml"))


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_ours_can_be_trained(path):
    recipe = read_recipe(path)
    model: Any = model_class(recipe.model)
    build_configs(recipe.model, model.Config, model.presets, recipe.preset, recipe.parameters)


def test_every_preset_has_one():
    recipes = {(read_recipe(path).model, read_recipe(path).preset or "default") for path in OURS}
    for name in {name for name, _ in recipes}:
        model: Any = model_class(name)
        assert {(name, preset) for preset in model.presets} <= recipes


def test_all_that_a_recipe_may_say(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text('model = "narm"\npreset = "local"\nseed = 3\n[parameters]\nepochs = 2\n')
    assert read_recipe(path) == Recipe("narm", "local", 3, {"epochs": 2})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('modle = "narm"', "a recipe has no key 'modle': did you mean model"),
        ("model = 3", "model must be the name of a model, got 3"),
        ('model = "narm"\nseed = true', "seed must be an integer, got True"),
        ('model = "narm"\nparameters = 1', "parameters must be a table, got 1"),
        ("seed = 1", 'a recipe must name its model, such as model = "narm"'),
        ("model =", "the recipe is not valid TOML"),
    ],
)
def test_bad_recipes(tmp_path, text, message):
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_recipe(path)
    assert message in str(caught.value)


def test_no_such_recipe(tmp_path):
    with pytest.raises(ConfigError, match="cannot read the recipe: No such file"):
        read_recipe(tmp_path / "r.toml")
