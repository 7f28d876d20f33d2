"""The paper's rows as configs: a row's network and mechanism, the paper's settings, and a scale."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from m2a.errors import ConfigError
from m2a.recipes.rows import PaperRow, find_row
from m2a.recipes.scales import PAPER, RANDOM_BACKBONES, find_scale
from m2a.training.config import NO_MATTER, TrainConfig

ROW_OPTIONS = ("backbone", "inflate", "mechanism")
"""What a row is; everything else may be changed."""
NEUTRAL = ("data", "out", "pretrained", "resume", "seed", *NO_MATTER)
"""Options that are no change of a recipe: data, weights and seed are recorded by themselves, the others change
nothing."""
MODEL_OPTIONS = ("mechanism_options", "backbone_options")
"""Options that make other models of the rows; all others say how they are trained, which rows have in common."""


def paper_recipe(name: str, *, data: str | Path, scale: str = "paper", **changes: Any) -> TrainConfig:
    """The config of a row of the paper, such as "I/m2a", with `changes` of other options on top.

    Raises ConfigError for a row or scale that is not there, an option that does not exist or has an impossible value,
    and for a change of what makes the row.
    """
    row, shared = find_row(name), {**shared_options(scale, changes.get("pretrained")), **changes}
    if fixed := [option for option in ROW_OPTIONS if option in changes]:
        raise ConfigError(refusal(fixed, row))
    defaults = RANDOM_BACKBONES.get(row.network.backbone, {}) if shared["pretrained"] == "none" else {}
    return TrainConfig.from_dict(
        {
            **shared,
            "backbone": row.network.backbone,
            "inflate": row.network.inflate,
            "mechanism": row.mechanism,
            "backbone_options": {**defaults, **changes.get("backbone_options", {})},
            "data": Path(data),
        }
    )


def refusal(options: list[str] | tuple[str, ...], row: PaperRow | None = None) -> str:
    """Why what makes a row cannot be changed."""
    has = f" ({row.name} is {row.mechanism} in {row.network})" if row else ""
    return (
        f"{' and '.join(options)} cannot be changed in a row of the paper: it is what the row is{has}. Choose another "
        "row (m2a paper list), or train without a recipe of the paper (m2a train)."
    )


def shared_options(scale: str, pretrained: str | None = None) -> dict[str, Any]:
    """The options that all rows have in common at a scale, where training starts from these weights: by default the
    scale's own. Raises ConfigError when there is no such scale."""
    found = find_scale(scale)
    options = {**PAPER, **found.options}
    if pretrained is not None:
        options["pretrained"] = pretrained
    return {**options, **(found.from_random if options["pretrained"] == "none" else {})}


def changes_of(config: TrainConfig, name: str, scale: str) -> dict[str, Any]:
    """The options in which a config differs from the recipe for its weights at that scale, `NEUTRAL` ones left out."""
    recipe = paper_recipe(name, data=config.data, scale=scale, pretrained=config.pretrained).to_dict()
    return {
        option: value for option, value in config.to_dict().items() if option not in NEUTRAL and value != recipe[option]
    }


def single_changes(changes: Mapping[str, Any]) -> list[str]:
    """Each change by itself, such as "epochs=2" and "mechanism_options.boundary=zero", by name."""
    parts = []
    for option, value in sorted(changes.items()):
        nested = value.items() if isinstance(value, Mapping) else ()
        parts += [f"{option}.{key}={inner}" for key, inner in sorted(nested)] or [f"{option}={value}"]
    return parts


def brief(changes: Mapping[str, Any]) -> str:
    """Changes in a line, such as "epochs=2, mechanism_options.boundary=zero"."""
    return ", ".join(single_changes(changes))
