"""What a model is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, runtime_checkable

from nextclick.core.types import Scorer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.sessions import Sessions
    from nextclick.core.types import AnyArray, Progress


@runtime_checkable
class Model(Scorer, Protocol):
    """A scorer that learns from sessions and can be written down as named arrays.

    A class with `deterministic = True` learns the same whatever the seed.

    Attributes:
        name: its name on the command line.
        Config: the frozen dataclass of its parameters.
        config: the parameters it was trained with.
    """

    name: ClassVar[str]
    Config: ClassVar[type[Any]]
    config: Any

    @classmethod
    def fit(cls, sessions: Sessions, config: Any, *, seed: int, progress: Progress) -> Self:
        """Learn from `sessions`; the same arguments give the same model."""
        ...

    def state(self) -> dict[str, AnyArray]:
        """Everything learned, as arrays; `from_state` of it scores the same."""
        ...

    @classmethod
    def from_state(cls, state: Mapping[str, AnyArray], config: Any) -> Self:
        """Build the model that gave `state`."""
        ...


def reads(model_type: type[Model], config: Any) -> frozenset[str]:
    """What of a log a model reads besides the clicks: of "times", "users" and "blocks" of time.

    A model that reads any has a class method `reads(config)`.
    """
    asked = getattr(model_type, "reads", None)
    found: frozenset[str] = asked(config) if asked is not None else frozenset()
    return found
