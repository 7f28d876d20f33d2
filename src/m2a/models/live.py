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
from m2a.models.consensus import AttentionConsensus, AverageConsensus, Consensus

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
        dropout=_dropout(model),
        consensus=_consensus(model),
        freeze_backbone=model.backbone_frozen,
        **_of_sites(model.backbone),
    )


def _dropout(model: VideoClassifier) -> float:
    dropout: nn.Module = model.dropout  # which anyone may have put there, as the two below
    if type(dropout) is nn.Identity:
        return 0.0
    if type(dropout) is not nn.Dropout:
        raise ConfigError(
            f"model.dropout is a {kind_of(dropout)}, which m2a.load would not build: it makes a torch.nn.Dropout. Put "
            "one there, or a torch.nn.Identity for none, or save model.state_dict() and build the model yourself."
        )
    return dropout.p


def _consensus(model: VideoClassifier) -> Consensus:
    consensus: nn.Module = model.consensus
    if type(consensus) is AttentionConsensus:
        return "attention"
    if type(consensus) is not AverageConsensus:
        raise ConfigError(
            f"model.consensus is a {kind_of(consensus)}, which m2a.load would not build: it makes those of "
            'm2a.create_model(consensus="avg") and consensus="attention". Put such a one there, or save '
            "model.state_dict() and build the model yourself."
        )
    return "avg"


def _num_classes(model: VideoClassifier) -> int:
    head: nn.Module = model.head
    if type(head) is not nn.Linear or head.bias is None:
        without = " without a bias" if type(head) is nn.Linear else ""
        raise ConfigError(
            f"model.head is a {kind_of(head)}{without}, which m2a.load would not build: it makes a torch.nn.Linear "
            "with a bias. Put such a layer there, or save model.state_dict() and build the model yourself."
        )
    if model.labels is not None and len(model.labels) != head.out_features:
        raise ConfigError(
            f"model.labels has {len(model.labels)} names and model.head gives {head.out_features} scores, so the saved "
            "model could not be loaded. Set model.labels to the names of the classes in the order of the scores, or to "
            "None."
        )
    return head.out_features


def kind_of(module: nn.Module) -> str:
    """The type of a module with where it is from: torch has several called Linear."""
    return f"{type(module).__module__}.{type(module).__qualname__}"


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
