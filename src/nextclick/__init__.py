"""Learn from a click log what a visitor will click next.

    import nextclick

    store = nextclick.prepare("clicks.csv", "store").store
    nextclick.train(store, "session-knn", "model")
    nextclick.load("model").recommend([["A", "B", "C"]], k=20)

The names below are imported when they are first used: `import nextclick` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nextclick.version import __version__

if TYPE_CHECKING:
    from nextclick.data.options import PrepareOptions
    from nextclick.data.prepare import prepare
    from nextclick.data.protocols import protocol
    from nextclick.data.simulate import simulate, simulate_frame
    from nextclick.data.simulation import SimulationConfig
    from nextclick.data.store import Store
    from nextclick.errors import NextclickError
    from nextclick.evaluation import Result, leaderboard
    from nextclick.pipeline.compare import CompareOptions, compare
    from nextclick.pipeline.evaluate import evaluate
    from nextclick.pipeline.plan import TuneOptions
    from nextclick.pipeline.refresh import refresh
    from nextclick.pipeline.sweep import SweepOptions, sweep
    from nextclick.pipeline.train import train
    from nextclick.pipeline.tune import tune
    from nextclick.serving import Explanation, Recommendation, Recommender

    load = Recommender.load

_HOME = {
    "CompareOptions": "pipeline.compare",
    "Explanation": "serving",
    "NextclickError": "errors",
    "PrepareOptions": "data.options",
    "Recommendation": "serving",
    "Recommender": "serving",
    "Result": "evaluation",
    "SimulationConfig": "data.simulation",
    "Store": "data.store",
    "SweepOptions": "pipeline.sweep",
    "TuneOptions": "pipeline.plan",
    "compare": "pipeline.compare",
    "evaluate": "pipeline.evaluate",
    "leaderboard": "evaluation",
    "load": "serving",
    "prepare": "data.prepare",
    "protocol": "data.protocols",
    "refresh": "pipeline.refresh",
    "simulate": "data.simulate",
    "simulate_frame": "data.simulate",
    "sweep": "pipeline.sweep",
    "train": "pipeline.train",
    "tune": "pipeline.tune",
}

__all__ = [
    "CompareOptions",
    "Explanation",
    "NextclickError",
    "PrepareOptions",
    "Recommendation",
    "Recommender",
    "Result",
    "SimulationConfig",
    "Store",
    "SweepOptions",
    "TuneOptions",
    "__version__",
    "compare",
    "evaluate",
    "leaderboard",
    "load",
    "prepare",
    "protocol",
    "refresh",
    "simulate",
    "simulate_frame",
    "sweep",
    "train",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'nextclick' has no attribute {name!r}")
    module = import_module(f"nextclick.{_HOME[name]}")
    value = module.Recommender.load if name == "load" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
