"""The one table of names: what `--model NAME` may say, and where the class is.

A class is imported when it is asked for, so that a counting model never imports a neural library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from nextclick.errors import ConfigError, nearest

if TYPE_CHECKING:
    from nextclick.models.base import Model

CLASSICAL: dict[str, str] = {
    "pop": "nextclick.models.popularity:Pop",
    "s-pop": "nextclick.models.popularity:SessionPop",
    "item-knn": "nextclick.models.item_knn:ItemKNN",
    "markov": "nextclick.models.markov:Markov",
    "rules": "nextclick.models.rules:SequentialRules",
    "session-knn": "nextclick.models.session_knn:SessionKNN",
    "bpr-mf": "nextclick.models.bpr_mf:BPRMF",
    "fpmc": "nextclick.models.fpmc:FPMC",
}

NEURAL: dict[str, str] = {
    "gru4rec": "nextclick.models.gru4rec:GRU4Rec",
    "improved-gru4rec": "nextclick.models.improved_gru4rec:ImprovedGRU4Rec",
    "narm": "nextclick.models.narm:NARM",
    "stamp": "nextclick.models.stamp:STAMP",
    "sasrec": "nextclick.models.sasrec:SASRec",
    "asars": "nextclick.models.asars:ASARS",
    "youtube-dnn": "nextclick.models.youtube_dnn:YouTubeDNN",
    "wavenet": "nextclick.models.wavenet:WaveNet",
    "sr-gnn": "nextclick.models.sr_gnn:SRGNN",
    "lessr": "nextclick.models.lessr:LESSR",
    "csrm": "nextclick.models.csrm:CSRM",
    "lgsr": "nextclick.models.lgsr:LGSR",
    "tasrec": "nextclick.models.tasrec:TASRec",
}

MODELS = CLASSICAL | NEURAL


def model_class(name: str) -> type[Model]:
    """Return the class behind a name.

    Raises:
        ConfigError: no model has that name, or it needs a library that is not installed.
    """
    if name not in MODELS:
        raise ConfigError(f"there is no model {name!r}: {nearest(name, MODELS)}")
    module, _, attribute = MODELS[name].partition(":")
    try:
        found: type[Model] = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ConfigError(
            f"model {name} needs PyTorch, which is not installed; pip install 'nextclick[neural]'"
        ) from None
    return found
