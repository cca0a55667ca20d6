"""Damaged files of a registry: each is refused by name, and no other version takes its place."""

import json
import shutil

import pytest

from nextclick import train
from nextclick.artifact import Artifact, Registry
from nextclick.artifact.registries import artifact_folder, is_registry
from nextclick.errors import ArtifactError
from nextclick.serving.model_manager import ModelManager
from small_shop import make_store
from stored_faults import flip, truncate


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    store = make_store(folder / "store")
    train(store, "pop", folder / "a")
    train(store, "markov", folder / "b")
    return folder


@pytest.fixture
def registry(models, tmp_path):
    """v1 is current, v2 is newer."""
    registry = Registry.create(tmp_path / "shop")
    registry.publish(models / "a", note="first")
    registry.publish(models / "b", note="second")
    registry.activate("v1")
    return registry


def refusals(file, read):
    """The errors of `read` after each flipped bit and each truncation of a file.

    Without an error, the result is that of the intact file.
    """
    intact, expected, errors = file.read_bytes(), read(), []
    damages = [(flip, bit) for bit in range(8 * len(intact))]
    damages += [(truncate, size) for size in range(len(intact))]
    for damage, position in damages:
        damage(file, position)
        try:
            assert read() == expected, (damage.__name__, position)
        except ArtifactError as error:
            errors.append(str(error))
        file.write_bytes(intact)
    # only white space between the fields and after them is no part of the content
    assert len(errors) > 7 * len(intact)
    assert all(str(file) in error for error in errors)
    return errors


def test_every_damage_of_the_pointer_is_refused_or_harmless(registry):
    errors = refusals(registry.path / "current.json", registry.current)
    remedy = f"; activate a version with `nextclick versions {registry.path} --activate NAME`"
    assert all(remedy in error for error in errors)


def test_a_damaged_pointer_is_written_again_by_an_activation(registry):
    truncate(registry.path / "current.json", 5)
    with pytest.raises(ArtifactError, match=r"current\.json: it is not valid JSON.*intact: v1, v2"):
        registry.current()
    with pytest.raises(ArtifactError, match=r"current\.json: it is not valid JSON"):
        artifact_folder(registry.path)
    registry.activate("v2")
    assert registry.current().name == "v2"


def test_a_pointer_to_another_version_without_its_digest_is_refused(registry):
    pointer = registry.path / "current.json"
    pointer.write_text(pointer.read_text().replace("v1", "v2"))
    message = r"current\.json: it is damaged: its content differs from its digest; activate a vers"
    with pytest.raises(ArtifactError, match=message):
        registry.current()


def test_every_damage_of_a_version_file_is_refused_or_harmless(registry):
    errors = refusals(registry.path / "versions" / "v1" / "version.json", registry.current)
    assert all(error.endswith("--activate NAME`; intact: v2") for error in errors)


def test_a_version_file_of_another_version_is_refused(registry):
    versions = registry.path / "versions"
    shutil.copy(versions / "v2" / "version.json", versions / "v1" / "version.json")
    with pytest.raises(ArtifactError, match=r"version\.json: it belongs to version 'v2'; activate"):
        registry.current()


def test_a_damaged_version_is_listed_and_its_name_is_not_reused(registry, models):
    file = registry.path / "versions" / "v2" / "version.json"
    file.unlink()
    assert [version.name for version in registry.versions()] == ["v1"]
    assert registry.damaged() == {file: "it is missing"}
    with pytest.raises(ArtifactError, match=r"version\.json: it is missing; activate a version"):
        registry.activate("v2")
    assert registry.publish(models / "a").name == "v3"


def test_every_damage_of_the_manifest_is_refused_or_harmless(registry, tmp_path):
    file = registry.path / "manifest.json"
    errors = refusals(file, lambda: is_registry(file.parent) and Registry(file.parent).current())
    assert all("; publish the artifacts in " in error for error in errors)
    moved = Registry.create(tmp_path / "moved").publish(registry.path / "versions" / "v1")
    assert Artifact.load(moved.path).model.name == "pop"


@pytest.mark.parametrize(
    ("version", "remedy"),
    [(1, "publish its artifacts to a new registry"), (9, "upgrade nextclick")],
)
def test_another_format_is_refused(registry, version, remedy):
    manifest = {"kind": "nextclick.registry", "format_version": version}
    (registry.path / "manifest.json").write_text(json.dumps(manifest))
    message = f"has registry format {version}, but this version of nextclick reads format 2: "
    with pytest.raises(ArtifactError, match=message + remedy):
        Registry(registry.path)


@pytest.mark.parametrize("name", ["current.json", "versions/v1/version.json"])
def test_a_server_keeps_the_loaded_version(registry, caplog, name):
    models = ModelManager({"m": registry.path})
    loaded = models.slot("m").loaded
    truncate(registry.path / name, 9)
    models.reload()
    assert models.slot("m").loaded is loaded
    assert f"cannot read its versions: {registry.path / name}: it is not valid JSON" in caplog.text


def test_a_server_does_not_start_with_a_damaged_pointer(registry):
    truncate(registry.path / "current.json", 0)
    with pytest.raises(ArtifactError, match=r"current\.json: .*; activate a version"):
        ModelManager({"m": registry.path})
    truncate(registry.path / "manifest.json", 9)
    with pytest.raises(ArtifactError, match=r"manifest\.json: not the manifest of a registry"):
        ModelManager({"m": registry.path})
