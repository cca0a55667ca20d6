"""What a search is asked for, checked: the model, its space, and the points to begin with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nextclick.core.search_space import (
    Choice,
    around,
    describe_space,
    parameters_at,
    point_of,
    without,
)
from nextclick.errors import ConfigError
from nextclick.experiments.model_candidate import candidate_for
from nextclick.experiments.parameter_grid import checked_grid, grid_points
from nextclick.experiments.requirements import check_needs
from nextclick.training.training_config import checked_cutoff

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextclick.core.search_space import Space
    from nextclick.data.store import Store
    from nextclick.experiments.model_candidate import ModelCandidate
    from nextclick.experiments.search_options import TuneOptions


@dataclass(frozen=True, slots=True)
class Plan:
    """What is searched, checked.

    Attributes:
        contender: the model.
        options: as asked.
        space: what points are drawn from; the first one lies in it.
        points: those that are tried before any is drawn: the preset, and with a grid all of it.
    """

    contender: ModelCandidate
    options: TuneOptions
    space: Space
    points: list[dict[str, Any]]

    @classmethod
    def of(cls, model: str, asked: TuneOptions, store: Store) -> Plan:
        """Check what was asked for.

        Raises:
            ConfigError: an option, parameter, value or grid that does not fit, nothing to search,
                or no limit to it.
        """
        if not asked.grid and asked.trials is None and asked.budget is None:
            raise ConfigError(
                "how long may it search? say --budget 2h, --trials 50, or a grid such as "
                "--set NAME=a,b,c"
            )
        for name, limit in (("trials", asked.trials), ("budget", asked.budget)):
            if limit is not None and not limit > 0:
                raise ConfigError(f"{name} must be more than 0, got {limit}")
        checked_cutoff(asked.metric, len(store.items))
        contender = candidate_for(model, asked.preset, asked.fixed, asked.metric, asked.grid)
        base = contender.parameters({})
        config, _ = contender.configs({})
        check_needs(contender.model, config, store)
        if asked.grid:
            grid = checked_grid(contender, asked.grid)
            space: Space = {name: Choice(*values) for name, values in grid.items()}
        else:
            space = without(contender.space, asked.fixed)
        if not space:
            raise ConfigError(
                f"{model} has nothing to tune: "
                + ("all of its space is fixed by --set" if asked.fixed else "it has no parameters")
            )
        wide = around(space, base)
        first = point_of(wide, base)
        rest = grid_points(grid) if asked.grid else []
        return cls(contender, asked, wide, [first, *(one for one in rest if one != first)])

    @property
    def work(self) -> dict[str, Any]:
        """What makes it this study and no other."""
        asked = self.options
        return {
            "model": self.contender.name,
            "preset": asked.preset,
            "metric": asked.metric,
            "seed": asked.seed,
            "sessions": asked.sessions,
            "fixed": self.values({}),
            "grid": bool(asked.grid),
            "space": describe_space(self.space),
        }

    def values(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters that are fixed, and those of a point."""
        typed = self.contender.parameters({})
        fixed = {name: typed[name] for name in self.contender.fixed}
        return fixed | parameters_at(self.space, point)
