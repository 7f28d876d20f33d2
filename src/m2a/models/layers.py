"""A network's layers as text, to tell two networks apart that have the same weights.

What is left out changes no score: identities, what a layer does in training alone, whether it works in place, and
whether a batch norm gathers its statistics over several devices.
"""

from __future__ import annotations

import re

from timm.layers.drop import DropPath
from timm.layers.norm_act import BatchNormAct2d, SyncBatchNormAct
from torch import nn

_STILL = (
    nn.Identity,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
    DropPath,
)
"""Themselves, which in evaluation pass their input through: a subclass may do anything."""
_GATHERED: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: nn.SyncBatchNorm,
    nn.BatchNorm2d: nn.SyncBatchNorm,
    nn.BatchNorm3d: nn.SyncBatchNorm,
    BatchNormAct2d: SyncBatchNormAct,
}
_LISTS = (nn.ParameterList, nn.ParameterDict)  # which tell where their tensors are
_POOLING = ("global_pool", "pool_type")
"""Attributes that timm's `reset_classifier(0, "max")` sets where it puts no other layer in."""
_OF_TRAINING = ("inplace", "momentum=")
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")  # of a function, another in every process


def layers_of(backbone: nn.Module) -> tuple[tuple[str, str], ...]:
    """Of every module that does something its name in a classifier, and its exact type with what it says of itself."""
    layers = ((f"backbone.{name}".rstrip("."), layer) for name, layer in backbone.named_modules())
    return tuple((name, _described(layer)) for name, layer in layers if type(layer) not in _STILL)


def _described(layer: nn.Module) -> str:
    kind = type(layer)
    told = "" if isinstance(layer, _LISTS) else _ADDRESS.sub("", layer.extra_repr())
    settings = [part for part in told.split(", ") if part and not part.startswith(_OF_TRAINING)]
    pooling = {name: vars(layer).get(name) for name in _POOLING}
    settings += [f"{name}={value!r}" for name, value in pooling.items() if isinstance(value, str)]
    kind = _GATHERED.get(kind, kind)
    return f"{kind.__module__}.{kind.__qualname__}({', '.join(settings)})"
