"""The paper's Figures 4 and 5 of results that are there: where models look, and what M2A gains on each class."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from m2a.errors import NotFoundError
from m2a.recipes.class_gains import ClassGains, class_gains
from m2a.recipes.groups import Group
from m2a.recipes.paper import brief
from m2a.recipes.results import Result
from m2a.recipes.rows import find_row
from m2a.recipes.tables import seeds_named
from m2a.reporting.class_bars import write_class_bars
from m2a.workflows.explain import draw, explain_video

LOOKING = ("m2a-attention", "m2a-motion", "m2a")
"""The rows of Table I whose models Figure 4 shows."""


def draw_figure_5(group: Group, path: Path) -> Path | None:
    """Draws what m2a gains over tam, tdn and tea on each class; None where a group has not been run with both."""
    gains = class_gains(group)
    if not gains:
        return None
    bars = {one.rival: {label: (gain.mean, gain.half_width) for label, gain in one.gains.items()} for one in gains}
    title = f"{group.data.name}, scale {group.scale}, from {group.weights.kind} weights, {seeds_of_gains(gains)}"
    about, digest = brief(group.changes), figure_5_digest(gains)
    return write_class_bars(path, bars, ours="m2a", title=title, about=about, description=digest)


def seeds_of_gains(gains: Sequence[ClassGains]) -> str:
    """`seeds 0, 1, 2`, and where a rival has fewer `seeds 0, 1, 2 (tdn: seeds 0, 1)`."""
    seeds = sorted({seed for one in gains for seed in one.seeds})
    fewer = "; ".join(f"{one.rival}: {seeds_named(one.seeds)}" for one in gains if len(one.seeds) < len(seeds))
    return seeds_named(seeds) + (f" ({fewer})" if fewer else "")


def figure_5_digest(gains: Sequence[ClassGains]) -> str:
    """Of the figures that the picture shows: kept in it, so that a picture of other results is known."""
    return hashlib.sha256(json.dumps([asdict(one) for one in gains], sort_keys=True).encode()).hexdigest()


def draw_figure_4(group: Group, clip: Path, path: Path, *, runs: Path) -> Path | None:
    """Draws where the models of m2a-attention, m2a-motion and m2a look in a clip: Grad-CAM at the end of the second
    stage, in the last five frames. Their runs' folders lie below `runs`. None where a group of Table I was not run with
    all three and one seed.

    Raises NotFoundError where a run's folder is gone, and what `m2a.workflows.explain.explain_video` raises.
    """
    models = _models(group)
    if not models:
        return None
    folders = [runs / find_row(result.run_as).table / result.run for result in models]
    if gone := [folder for folder in folders if not (folder / "model").is_dir()]:
        raise NotFoundError(
            f"{gone[0]} holds no model. Name the folder of the runs with --runs, or run the row again: m2a paper run."
        )
    explained = explain_video(clip, [str(folder) for folder in folders])
    draw(explained, out=path)
    return path


def _models(group: Group) -> list[Result]:
    """The results of the three rows' smallest common seed."""
    by_seed = [{result.seed: result for result in group.of(f"I/{mechanism}")} for mechanism in LOOKING]
    common = set.intersection(*map(set, by_seed))
    return [results[min(common)] for results in by_seed] if common else []
