"""A base for models of tests that do nothing but score."""

from nextclick.models.base import Model


class StubModel(Model):
    """A subclass sets `name` and `n_items`, and implements `score`."""

    n_items = 0
    config = None

    def score(self, batch):
        raise NotImplementedError

    def state(self):
        return {}

    @classmethod
    def from_state(cls, state, config):
        return cls()
