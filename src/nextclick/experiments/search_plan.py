"""The plan of a hyperparameter search: options, search space, and the first points."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nextclick.core.cutoffs import catalog_metric
from nextclick.core.search_space import (
    Choice,
    config_to_point,
    describe_space,
    drop_fixed,
    point_to_parameters,
    widen_to_include,
)
from nextclick.errors import ConfigError
from nextclick.experiments.model_candidate import candidate_for
from nextclick.experiments.parameter_grid import checked_grid, grid_points
from nextclick.experiments.requirements import check_store
from nextclick.models.model_registry import model_class

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.search_space import Space
    from nextclick.data.store import Store
    from nextclick.experiments.model_candidate import ModelCandidate
    from nextclick.experiments.search_options import TuneOptions


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """A validated search.

    Attributes:
        candidate: the model.
        options: the options of the search.
        space: search space; it contains the preset.
        first_points: points that are tried before any is sampled: the preset, then the grid.
    """

    candidate: ModelCandidate
    options: TuneOptions
    space: Space
    first_points: list[dict[str, Any]]

    @classmethod
    def create(cls, model: str, options: TuneOptions, store: Store) -> SearchPlan:
        """Validate the options.

        Raises:
            ConfigError: an invalid option, parameter, value or grid, an empty search space, a
                search without a limit, or a model that combines others.
        """
        _check_limits(options)
        if model_class(model).default_capabilities.composite:
            raise ConfigError(
                f"{model} is trained from other models; tune its members one by one, and name them "
                "with the parameters that were found"
            )
        options = replace(options, metric=catalog_metric(options.metric, len(store.items)))
        candidate = candidate_for(
            model, options.preset, options.fixed, options.metric, options.grid
        )
        preset = candidate.parameters({})
        config, _ = candidate.configs({})
        check_store(candidate.model, config, store)
        grid = checked_grid(candidate, options.grid)
        if grid:
            space: Space = {name: Choice(*values) for name, values in grid.items()}
        else:
            space = drop_fixed(candidate.space, options.fixed)
        if not space:
            raise ConfigError(
                f"{model} has nothing to tune: "
                + ("--set fixes its whole search space" if options.fixed else "no parameters")
            )
        space = widen_to_include(space, preset)
        first = config_to_point(space, preset)
        points = grid_points(grid) if grid else []
        return cls(candidate, options, space, [first, *(p for p in points if p != first)])

    @property
    def scope(self) -> dict[str, Any]:
        """The settings that all runs of one study share."""
        options = self.options
        return {
            "model": self.candidate.name,
            "preset": options.preset,
            "metric": options.metric,
            "seed": options.seed,
            "sessions": options.sessions,
            "rules": options.rules.describe(),
            "min_prefix": options.min_prefix,
            "fixed": self.parameters({}),
            "grid": bool(options.grid),
            "space": describe_space(self.space),
        }

    def parameters(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """The fixed parameters and those of a point."""
        preset = self.candidate.parameters({})
        fixed = {name: preset[name] for name in self.candidate.fixed}
        return fixed | point_to_parameters(self.space, point)


def _check_limits(options: TuneOptions) -> None:
    if not options.grid and options.trials is None and options.budget is None:
        raise ConfigError(
            "the search has no limit; use --budget 2h, --trials 50, or a grid such as "
            "--set NAME=a,b,c"
        )
    for name, limit in (("trials", options.trials), ("budget", options.budget)):
        if limit is not None and not limit > 0:
            raise ConfigError(f"{name} must be greater than 0, got {limit}")
