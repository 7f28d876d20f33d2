"""The parameters of a model in the groups that an optimiser treats differently."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from m2a.errors import ConfigError
from m2a.insertion.insert import belongs_to_mechanism
from m2a.models.classifier import VideoClassifier

Part = Literal["mechanism", "backbone", "head"]
_COMPILED = "_orig_mod"  # under which torch.compile keeps a module
_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
_EMBEDDINGS = ("class_token", "pos_embedding", "relative_position_bias_table")  # as torchvision calls them


def parameter_groups(
    model: nn.Module,
    *,
    lr: float,
    weight_decay: float = 0.0,
    lr_scales: Mapping[str, float] | None = None,
    decay_all: bool = False,
) -> list[dict[str, Any]]:
    """Groups for any torch optimiser: mechanism, backbone and head (with the consensus), each with and without weight
    decay. Frozen parameters are left out, and empty groups.

    Biases, norms, other parameters with a single axis, and those that the backbone names in timm's
    `no_weight_decay()` (position embeddings, say) do not decay, nor do torchvision's tokens and tables of position.

    Args:
        model: a `VideoClassifier`, also as `torch.compile` gives it.
        lr: learning rate.
        weight_decay: of the parameters that decay.
        lr_scales: multiples of `lr` for parts, such as `{"backbone": 0.1}`; 1 where a part is not named.
        decay_all: let everything decay.

    Returns:
        dicts with `params`, `lr`, `weight_decay` and `name` ("mechanism", "mechanism (no decay)", ...).

    Raises ConfigError for another model, for an unknown part in `lr_scales`, and when nothing is left to train.
    """
    model = classifier_in(model, "parameter_groups")
    lr_scales = dict(lr_scales or {})
    if unknown := sorted(set(lr_scales) - set(get_args(Part))):
        raise ConfigError(f"lr_scales has {', '.join(unknown)}; the parts are {', '.join(get_args(Part))}.")
    still, of_mechanism = _without_decay(model), belongs_to_mechanism(model)
    members: dict[tuple[str, bool], list[nn.Parameter]] = {(p, d): [] for p in get_args(Part) for d in (True, False)}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decays = decay_all or (parameter.ndim > 1 and name not in still)
            members[_part(name, of_mechanism(name)), decays].append(parameter)
    if not any(members.values()):
        raise ConfigError("Every parameter of the model is frozen, so there is nothing to train.")
    return [
        {
            "name": part if decays else f"{part} (no decay)",
            "params": parameters,
            "lr": lr * lr_scales.get(part, 1.0),
            "weight_decay": weight_decay if decays else 0.0,
        }
        for (part, decays), parameters in members.items()
        if parameters
    ]


def classifier_in(model: nn.Module, taker: str) -> VideoClassifier:
    """The classifier itself, of a compiled one. Raises ConfigError, in the name of the function that takes it, for
    another module, such as one that wraps it for several devices."""
    inside = uncompiled(model)
    if not isinstance(inside, VideoClassifier):
        raise ConfigError(
            f"{taker} takes a VideoClassifier, as m2a.create_model makes it, or a compiled one; got a "
            f"{type(model).__name__}. Give the model inside: of DataParallel or DistributedDataParallel, and of "
            "AveragedModel, model.module."
        )
    return inside


def uncompiled(model: nn.Module) -> nn.Module:
    inside: nn.Module = getattr(model, _COMPILED, model)
    return inside


def _part(name: str, of_mechanism: bool) -> Part:
    if not name.startswith("backbone."):
        return "head"
    return "mechanism" if of_mechanism else "backbone"


def _without_decay(model: VideoClassifier) -> set[str]:
    """Names of parameters that do not decay although they have several axes."""
    named: Iterable[str] | None = getattr(model.backbone, "no_weight_decay", lambda: None)()
    inside = f"{_COMPILED}." if hasattr(model.backbone, _COMPILED) else ""
    if named is None:
        named = [name for name, _ in uncompiled(model.backbone).named_parameters() if name.endswith(_EMBEDDINGS)]
    found = {f"backbone.{inside}{name}" for name in named}
    for module_name, module in model.named_modules():
        if isinstance(module, _NORMS):
            found |= {f"{module_name}.{name}" for name, _ in module.named_parameters(recurse=False)}
    return found
