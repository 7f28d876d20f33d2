"""The config of a model as it is now, which is what a saved one must be built from.

A model may have been changed since `create_model`: another mechanism, a new linear layer. Many such models have the
same names and shapes of weights, so a config of its creation would load without an error and give other scores.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import nn

from m2a.errors import ConfigError
from m2a.insertion.insert import insertions
from m2a.models.config import ModelConfig
from m2a.models.consensus import AttentionConsensus

if TYPE_CHECKING:
    from m2a.models.classifier import VideoClassifier


def live_config(model: VideoClassifier) -> ModelConfig:
    """Raises ConfigError for a model that no config can describe: one put together by hand, or changed since in a way
    that `create_model` has no option for."""
    if model.config is None:
        raise ConfigError(
            "This VideoClassifier was put together by hand, so config.json could not say how to build it again. Make "
            "it with m2a.create_model, or pass config=m2a.models.ModelConfig(...) to VideoClassifier."
        )
    return replace(
        model.config,
        num_classes=_num_classes(model),
        num_frames=model.num_frames,
        dropout=model.dropout.p,
        consensus="attention" if isinstance(model.consensus, AttentionConsensus) else "avg",
        freeze_backbone=model.backbone_frozen,
        **_of_sites(model.backbone),
    )


def _num_classes(model: VideoClassifier) -> int:
    head: nn.Module = model.head  # which anyone may have put there
    if not isinstance(head, nn.Linear) or head.bias is None:
        kind = f"{type(head).__module__}.{type(head).__qualname__}"  # torch has several called Linear
        if isinstance(head, nn.Linear):
            kind += " without a bias"
        raise ConfigError(
            f"model.head is a {kind}, which m2a.load would not build: it makes a torch.nn.Linear with a bias. Put such "
            "a layer there, or save model.state_dict() and build the model yourself."
        )
    if model.labels is not None and len(model.labels) != head.out_features:
        raise ConfigError(
            f"model.labels has {len(model.labels)} names and model.head gives {head.out_features} scores, so the saved "
            "model could not be loaded. Set model.labels to the names of the classes in the order of the scores, or to "
            "None."
        )
    return head.out_features


def _of_sites(backbone: nn.Module) -> dict[str, Any]:
    """The options of `create_model` that give the mechanisms that are there."""
    by_site = insertions(backbone)
    if not by_site:  # they were taken out
        return {"mechanism": "none", "mechanism_options": {}}
    (first, told), *others = by_site.items()
    for name, other in others:
        for what in ("spec", "position", "reduction", "init", "options"):
            one, two = getattr(told, what), getattr(other, what)
            if one != two:
                raise ConfigError(
                    f"The sites of this model were not inserted alike: {what} is {one!r} at {first!r} and {two!r} at "
                    f"{name!r}, and config.json holds one for all. Take them out with m2a.remove(model.backbone) and "
                    "insert one mechanism, or save model.state_dict() and build the model yourself."
                )
    as_inserted = tuple(by_site) == told.sites
    return {
        "mechanism": told.spec,
        "position": told.position,
        "reduction": told.reduction,
        "init": told.init,
        "mechanism_options": dict(told.options),
        "where": told.where if as_inserted else tuple(by_site),
    }
