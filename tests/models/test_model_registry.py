"""The model registry: names from entry points, classes imported on first use."""

import subprocess
import sys

import pytest

from nextclick.errors import ConfigError
from nextclick.models import model_registry
from nextclick.models.base import Model
from nextclick.models.model_registry import (
    BASELINES,
    find_capabilities,
    installed_models,
    model_class,
    model_names,
)
from nextclick.testing import declared_model
from reference.tiny_model import Tiny

NOT_A_MODEL = object()


class Unfinished(Model):
    name = "unfinished"


def test_baselines_come_first_and_other_packages_last():
    assert model_names()[: len(BASELINES)] == BASELINES
    with declared_model("a-model", "reference.tiny_model:Tiny"):
        assert model_names()[-1] == "a-model"
    assert "a-model" not in model_names()


def test_all_models_in_the_listing_order_are_installed():
    assert set(model_registry._LISTING_ORDER) <= set(model_names())


def test_the_class_of_another_package(tiny_model):
    assert model_class("tiny") is Tiny
    assert find_capabilities("tiny").neural
    assert isinstance(installed_models()["tiny"], tuple)


def test_listing_names_imports_no_library_of_models():
    code = (
        "import sys\nfrom nextclick.models.model_registry import model_names\n"
        "assert model_names()\nsys.exit(bool({'torch', 'numba', 'polars'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_counting_model_imports_no_neural_library():
    code = (
        "import sys\nfrom nextclick.models.model_registry import model_class\n"
        "model_class('markov')\nsys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name():
    with pytest.raises(ConfigError, match=r"there is no model 'narn': did you mean narm\?"):
        model_class("narn")
    assert find_capabilities("narn") is None


def test_a_missing_library_is_named_with_its_extra(monkeypatch):
    def missing(entry):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr("importlib.metadata.EntryPoint.load", missing)
    with pytest.raises(ConfigError, match="narm needs PyTorch, which is not installed; pip insta"):
        model_class("narm")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            "no_such_module:Model",
            r"cannot be imported from no_such_module:Model: ModuleNotFoundError: ",
        ),
        (
            "reference.tiny_model:Nothing",
            r"cannot be imported from .*:Nothing: AttributeError: .*; upgrade or unin",
        ),
        (
            f"{__name__}:NOT_A_MODEL",
            r"is not a model: .* must be a subclass of nextclick\.models\.base\.Model, got",
        ),
        (
            f"{__name__}:Unfinished",
            r"is incomplete: .* must implement from_state, n_items, score, state; upgrade or unin",
        ),
        (
            "reference.tiny_model:Tiny",
            r": reference.*:Tiny must set name = 'broken', got 'tiny'; give both the same name",
        ),
    ],
)
def test_an_invalid_entry_point(value, message):
    full_message = f"model 'broken' of its-package ?{message}"
    with (
        declared_model("broken", value, "its-package"),
        pytest.raises(ConfigError, match=full_message),
    ):
        model_class("broken")


def test_a_name_conflict_affects_only_this_name(tiny_model):
    with declared_model("tiny", "another:Tiny", "another-package"):
        message = (
            r"model 'tiny' is declared by tiny-package \(reference\.tiny_model:Tiny\) and "
            r"another-package \(another:Tiny\); uninstall one of them, or rename its entry point"
        )
        with pytest.raises(ConfigError, match=message):
            model_class("tiny")
        assert model_class("pop").name == "pop"
        assert model_names().count("tiny") == 1


def test_an_installation_without_metadata(monkeypatch):
    monkeypatch.setattr(model_registry, "entry_points", lambda group: [])
    installed_models.cache_clear()
    try:
        with pytest.raises(ConfigError, match=r"no installed package declares a model .*reinstall"):
            model_names()
    finally:
        installed_models.cache_clear()
