"""Request and response bodies of the served models."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from nextclick.serving.schemas import Name  # noqa: TC001 (msgspec reads the annotations)


class ActivateRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """The version of a model to activate, by name or by folder.

    Attributes:
        model: name of the model; the default is the first one.
        version: a version of its registry.
        path: folder of a version, below the served folder.
    """

    model: Name | None = None
    version: Name | None = None
    path: Annotated[str, Meta(max_length=4096)] | None = None


class AccuracyResponse(Struct):
    """The accuracy of a model.

    Attributes:
        metric: such as "recall@20".
        value: from 0 to 1.
        measured: "publication", on new sessions that were held out when the version was published,
            or "validation", on the end of the training log.
    """

    metric: str
    value: float
    measured: str


class ModelResponse(Struct, kw_only=True):
    """A served model.

    Attributes:
        name: as requests name it.
        model: the kind of model, such as "narm".
        version: active version.
        loaded_at: seconds since 1970.
        items: size of the catalog.
        titles: number of items with a title.
        details: number of items with a picture, a price, a link or a category.
        reads: inputs besides clicks: times, users, history.
        config: its parameters.
        trained: data and duration of the training.
        search: `method` is "exhaustive" if every item is scored, "bounded" if upper bounds skip
            most items, "quantized" if the search is approximate; `recall` of the exact top 20,
            measured in `requests` requests when the model was loaded; `candidates_per_item` of an
            approximate search, which are scored exactly.
        rejected: versions that could not be loaded, with the reason.
        accuracy: as its manifests state it; null if they do not.
        last_click: time of the last training click in seconds since 1970; null if unknown.
        published: when the active version was published, ISO 8601 in UTC; null outside a registry.
        versions: versions of its registry that can be activated.
        ab: versions of an A/B test and the shares of the sessions they answer; `version` and the
            fields above are those of the first.
    """

    name: str
    model: str
    version: str
    loaded_at: float
    items: int
    titles: int
    details: int
    reads: list[str]
    config: dict[str, Any]
    trained: dict[str, Any]
    search: dict[str, Any]
    rejected: dict[str, str]
    accuracy: AccuracyResponse | None
    last_click: float | None
    published: str | None
    versions: list[str]
    ab: dict[str, float]


class ModelsResponse(Struct):
    """All served models; the first one is the default."""

    models: list[ModelResponse]
