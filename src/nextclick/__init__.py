"""Predict the next click from a click log.

    import nextclick

    store = nextclick.prepare("clicks.csv", "store").store
    nextclick.train(store, "session-knn", "model")
    nextclick.load("model").recommend([["A", "B", "C"]], k=20)

Public names are imported on first use: `import nextclick` itself loads no library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nextclick.version import __version__

if TYPE_CHECKING:
    from nextclick.core.item_rules import ItemRules
    from nextclick.data.options import PrepareOptions, ReadOptions
    from nextclick.data.prepare_store import prepare
    from nextclick.data.protocols import protocol
    from nextclick.data.store import Store
    from nextclick.errors import NextclickError
    from nextclick.evaluation import Result, leaderboard
    from nextclick.experiments.artifact_evaluation import evaluate
    from nextclick.experiments.artifact_refresh import refresh
    from nextclick.experiments.backtest import backtest
    from nextclick.experiments.backtest_options import BacktestOptions, WindowOptions
    from nextclick.experiments.batch_options import BatchCounts, BatchOptions
    from nextclick.experiments.batch_recommendation import recommend_file, recommend_frame
    from nextclick.experiments.comparison import compare
    from nextclick.experiments.comparison_options import CompareOptions
    from nextclick.experiments.estimator import Estimator
    from nextclick.experiments.model_training import train
    from nextclick.experiments.online_options import OnlineOptions
    from nextclick.experiments.online_report import online_report
    from nextclick.experiments.parameter_sweep import sweep
    from nextclick.experiments.search_options import SweepOptions, TuneOptions
    from nextclick.experiments.stored_card import model_card
    from nextclick.experiments.tuning import tune
    from nextclick.export import export_onnx
    from nextclick.serving import Explanation, Recommendation, Recommender
    from nextclick.simulation.simulate import simulate, simulate_frame
    from nextclick.simulation.simulation_config import SimulationConfig

    load = Recommender.load

_MODULES = {
    "BacktestOptions": "experiments.backtest_options",
    "BatchCounts": "experiments.batch_options",
    "BatchOptions": "experiments.batch_options",
    "CompareOptions": "experiments.comparison_options",
    "Estimator": "experiments.estimator",
    "Explanation": "serving",
    "ItemRules": "core.item_rules",
    "NextclickError": "errors",
    "OnlineOptions": "experiments.online_options",
    "PrepareOptions": "data.options",
    "ReadOptions": "data.options",
    "Recommendation": "serving",
    "Recommender": "serving",
    "Result": "evaluation",
    "SimulationConfig": "simulation.simulation_config",
    "Store": "data.store",
    "SweepOptions": "experiments.search_options",
    "TuneOptions": "experiments.search_options",
    "WindowOptions": "experiments.backtest_options",
    "backtest": "experiments.backtest",
    "compare": "experiments.comparison",
    "evaluate": "experiments.artifact_evaluation",
    "export_onnx": "export",
    "leaderboard": "evaluation",
    "load": "serving",
    "model_card": "experiments.stored_card",
    "online_report": "experiments.online_report",
    "prepare": "data.prepare_store",
    "protocol": "data.protocols",
    "recommend_file": "experiments.batch_recommendation",
    "recommend_frame": "experiments.batch_recommendation",
    "refresh": "experiments.artifact_refresh",
    "simulate": "simulation.simulate",
    "simulate_frame": "simulation.simulate",
    "sweep": "experiments.parameter_sweep",
    "train": "experiments.model_training",
    "tune": "experiments.tuning",
}

__all__ = [
    "BacktestOptions",
    "BatchCounts",
    "BatchOptions",
    "CompareOptions",
    "Estimator",
    "Explanation",
    "ItemRules",
    "NextclickError",
    "OnlineOptions",
    "PrepareOptions",
    "ReadOptions",
    "Recommendation",
    "Recommender",
    "Result",
    "SimulationConfig",
    "Store",
    "SweepOptions",
    "TuneOptions",
    "WindowOptions",
    "__version__",
    "backtest",
    "compare",
    "evaluate",
    "export_onnx",
    "leaderboard",
    "load",
    "model_card",
    "online_report",
    "prepare",
    "protocol",
    "recommend_file",
    "recommend_frame",
    "refresh",
    "simulate",
    "simulate_frame",
    "sweep",
    "train",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'nextclick' has no attribute {name!r}")
    module = import_module(f"nextclick.{_MODULES[name]}")
    value = module.Recommender.load if name == "load" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
