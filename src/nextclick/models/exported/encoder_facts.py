"""What the metadata of an exported encoder say of its model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import TypeAdapter, ValidationError

from nextclick.errors import ArtifactError
from nextclick.models.base import Capabilities  # noqa: TC001  # pydantic reads it

KEY = "nextclick"  # of the metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderFacts:
    """A model as far as its answers depend on more than its graph.

    Attributes:
        model: its name.
        config: its parameters.
        capabilities: see `Capabilities`.
        reads: its inputs besides clicks.
        prefix: of the names of its arrays in the file of the weights.
        table: the name of the item vectors there, without the prefix.
        bias: the name of the biases of the items; None for a model without.
        n_users: U, None for a model that reads no users.
        evidence: kind, name and fields of what explains a query; each field is an output.
    """

    model: str
    config: dict[str, Any]
    capabilities: Capabilities
    reads: tuple[Literal["times", "users", "history", "features"], ...]
    prefix: str
    table: str
    bias: str | None
    n_users: int | None
    evidence: tuple[tuple[str, str, tuple[str, ...]], ...] = ()

    def to_json(self) -> str:
        """The metadata."""
        return _FACTS.dump_json(self).decode()

    @classmethod
    def of_metadata(cls, metadata: dict[str, str], file: object) -> Self:
        """Read and check the metadata of a graph.

        Args:
            metadata: of the graph.
            file: the graph, for the message.

        Raises:
            ArtifactError: they are missing, or have another form.
        """
        try:
            facts: Self = _FACTS.validate_json(metadata.get(KEY, ""))
        except ValidationError as error:
            reason = error.errors()[0]
            field = ".".join(map(str, reason["loc"])) or "the metadata"
            raise ArtifactError(
                f"{file}: the metadata of the graph are not those of nextclick: {field}: "
                f"{reason['msg']:.100}; train again with this version"
            ) from error
        return facts


_FACTS: TypeAdapter[Any] = TypeAdapter(EncoderFacts)
