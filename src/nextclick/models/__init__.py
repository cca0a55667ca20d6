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
    "pop": "nextclick.models.classical.popularity:Pop",
    "s-pop": "nextclick.models.classical.popularity:SessionPop",
    "item-knn": "nextclick.models.classical.item_knn:ItemKNN",
    "markov": "nextclick.models.classical.markov:Markov",
    "rules": "nextclick.models.classical.sequential_rules:SequentialRules",
    "session-knn": "nextclick.models.classical.session_knn:SessionKNN",
    "bpr-mf": "nextclick.models.classical.bpr_mf:BPRMF",
    "fpmc": "nextclick.models.classical.fpmc:FPMC",
}

NEURAL: dict[str, str] = {
    "gru4rec": "nextclick.models.neural.gru4rec:GRU4Rec",
    "improved-gru4rec": "nextclick.models.neural.improved_gru4rec:ImprovedGRU4Rec",
    "narm": "nextclick.models.neural.narm:NARM",
    "stamp": "nextclick.models.neural.stamp:STAMP",
    "sasrec": "nextclick.models.neural.sasrec:SASRec",
    "asars": "nextclick.models.neural.asars:ASARS",
    "youtube-dnn": "nextclick.models.neural.youtube_dnn:YouTubeDNN",
    "wavenet": "nextclick.models.neural.wavenet:WaveNet",
    "sr-gnn": "nextclick.models.neural.sr_gnn:SRGNN",
    "lessr": "nextclick.models.neural.lessr:LESSR",
    "csrm": "nextclick.models.neural.csrm:CSRM",
    "lgsr": "nextclick.models.neural.lgsr:LGSR",
    "tasrec": "nextclick.models.neural.tasrec:TASRec",
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
