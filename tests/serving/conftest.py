import pytest

from nextclick import train
from small_shop import make_store


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("shop") / "store")


@pytest.fixture(scope="session")
def knn(store, tmp_path_factory):
    """The folder of a session-knn artifact."""
    folder = tmp_path_factory.mktemp("knn") / "knn"
    train(store, "session-knn", folder)
    return folder
