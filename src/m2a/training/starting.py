"""The options of a run that starts from a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from m2a.errors import ConfigError
from m2a.models.starting import SavedModel

NAMES = (
    "backbone", "backbone_options", "inflate", "mechanism", "mechanism_options", "reduction", "init", "consensus",
    "num_frames",
)  # fmt: skip
"""Options of training that are a model's, beside `size`."""


def options_of(model: str | Path) -> dict[str, Any]:
    """What a trained model was built with, as options of a run with `pretrained=model`: backbone, mechanism, frames,
    size. `m2a train --pretrained` has them as defaults; in Python they go into `TrainConfig`, and others over them.

    Args:
        model: a folder that `m2a train` or `save_pretrained` wrote, or owner/name on the Hugging Face hub.

    Raises:
        NotFoundError, WeightsUnavailableError, CheckpointError: as `m2a.load`.
        ConfigError: an adapter, or a model around a network of its author's, which no options build.
    """
    saved = SavedModel.read(model)
    if saved.config.own_backbone:
        raise ConfigError(
            f"{model} is around a network of its author's, a {saved.config.backbone}, which no options of training "
            "build. Start from it in Python: m2a.create_model(network, ..., pretrained=FOLDER)."
        )
    return {name: getattr(saved.config, name) for name in NAMES} | {"size": saved.preprocessing.size}
