"""What the networks of each source look like from their keys. Structure only: none of their code is here.

All of them are TSN-like: `base_model.<layer>.<parameter>` for the network, `new_fc.*` for the head (or the network's
own `fc` or `classifier`, when it was trained without dropout); the I3D of the released M2A code is `model.<layer>.*`.
Where a source has other names, `layouts` has given these before. A layer at which something was inserted is wrapped, in
a manner that tells what was inserted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from m2a.errors import ConfigError

SourceName = Literal["m2a", "tsm", "tam", "tea", "tdn", "mmaction2"]
Inserted = Literal["gate", "gate+tsm", "tsm", "tanet"]


@dataclass(frozen=True)
class At:
    """Where a key belongs: a parameter of a layer, or of the mechanism that stands in front of it."""

    layer: str
    """In the source's names."""
    rest: str
    inserted: Inserted | None = None
    """What the key says stands at the layer."""
    inside: bool = False
    """Whether the key is the mechanism's, not the layer's."""


@dataclass(frozen=True)
class Part:
    """A part of a source's networks that has no counterpart here, known by its keys."""

    pattern: str
    name: str
    why: str
    becomes: str | None = None
    """The key without this part around it, where the tensor itself has a place: a replacement for the pattern."""


@dataclass(frozen=True)
class Source:
    """One project: how to read a key of its networks, and what is in them that has no place."""

    project: str
    read: Callable[[str], At]
    parts: tuple[Part, ...] = ()
    rewrites: tuple[tuple[str, str], ...] = ()
    """Patterns and replacements that change nothing but names."""
    starts: tuple[str, ...] = ("base_model.", "model.", "new_fc.")
    """What its keys start with."""
    only_2d: bool = False
    """Whether its 3D networks are others than those here."""


_GATE = re.compile(r"(.+)\.0\.(?:m2a\.)?((?:conv_down|conv_up|modules_list)\..+)")
_GATED = re.compile(r"(.+\.conv1|features\.\d+\.conv\.0)\.([12])\.(weight)")
_SHIFTED = re.compile(r"(.+\.conv1|features\.\d+\.conv\.0)\.net\.(weight)")
_TAM = re.compile(r"(layer[1-4]\.\d+)\.tam\.(.+)")
_TAM_BLOCK = re.compile(r"(layer[1-4]\.\d+)\.net\.(.+)\.([^.]+)")


def _plain(key: str) -> At:
    layer, _, parameter = key.rpartition(".")
    return At(layer, parameter)


def _tsm(key: str) -> At:
    match = _SHIFTED.fullmatch(key)
    return At(match[1], match[2], "tsm") if match else _plain(key)


def _m2a(key: str) -> At:
    if match := _GATE.fullmatch(key):
        return At(match[1], match[2], inside=True)
    if match := _GATED.fullmatch(key):
        return At(match[1], match[3], "gate" if match[2] == "1" else "gate+tsm")
    return _tsm(key)


def _mmaction2(key: str) -> At:
    return _tam(key) if _TAM.fullmatch(key) else _tsm(key)


def _tam(key: str) -> At:
    if match := _TAM.fullmatch(key):
        return At(f"{match[1]}.conv2", match[2], "tanet", inside=True)
    if match := _TAM_BLOCK.fullmatch(key):
        return At(f"{match[1]}.{match[2]}", match[3])
    return _plain(key)


_NON_LOCAL = Part(r".+\.nl\..+", "non-local blocks", "m2a has no non-local attention over space and time")
_TSM_PARTS = (
    _NON_LOCAL,
    Part(r"layer2\.net\.(\d.*)", "temporal pooling", "halving the frames in front of layer2 has no counterpart",
         r"layer2.\1"),
    Part(r"(layer[1-4]\.\d+)\.net\.((?:conv|bn|downsample).*)", "shift in front of whole blocks",
         "m2a shifts inside the residual branch, never the skip around it", r"\1.\2"),
)  # fmt: skip
_TEA_PARTS = (
    Part(r"layer[1-4]\.\d+\.me\..+", "motion excitation",
         "it pools over space and works on all channels of the block; m2a's tea is the one inside M2A's gate"),
    Part(r"layer[1-4]\.\d+\.shifts\.\d+\.conv\..+", "multiple temporal aggregation",
         "convolutions over time between the branches of a Res2Net block have no counterpart"),
)  # fmt: skip
_TDN_PARTS = (
    Part(r"(?:conv1_5|conv1_temp1?|resnext_layer1)\..+", "short-term temporal difference module",
         "its stem sees 5 frames a segment, which m2a does not sample"),
    Part(r"layer[1-4]_bak\.\d+\.mse\..+", "long-term temporal difference module",
         "it works on all channels of the block; m2a's tdn is the one inside M2A's gate"),
    Part(r"layer[1-4]_bak\.\d+\.shift\..+", "learned shifts",
         "convolutions over time with weights have no counterpart; m2a's tsm has no weights"),
)  # fmt: skip
_INSIDE_NON_LOCAL = ((r"(layer[1-4]\.\d+)\.block\.(.+)", r"\1.\2"),)
_TDN_LAYERS = ((r"layer([1-4])_bak\.(.+)", r"layer\1.\2"),)

SOURCES: Mapping[str, Source] = {
    "m2a": Source("gebob19/M2A", _m2a, _TSM_PARTS, _INSIDE_NON_LOCAL),
    "tsm": Source("mit-han-lab/temporal-shift-module", _tsm, _TSM_PARTS, _INSIDE_NON_LOCAL),
    "tam": Source("liu-zhy/temporal-adaptive-module", _tam, (_NON_LOCAL,), _INSIDE_NON_LOCAL),
    "tea": Source("Phoenix1327/tea-action-recognition", _plain, _TEA_PARTS),
    "tdn": Source("MCG-NJU/TDN", _plain, _TDN_PARTS, _TDN_LAYERS),
    "mmaction2": Source(
        "open-mmlab/mmaction2", _mmaction2, _TSM_PARTS, starts=("backbone.", "cls_head."), only_2d=True
    ),
}


def find_source(name: str) -> Source:
    """Raises ConfigError for a source that is not known."""
    if name not in SOURCES:
        known = ", ".join(f'"{known}" ({source.project})' for known, source in SOURCES.items())
        raise ConfigError(f"source must be one of {known}; got {name!r}.")
    return SOURCES[name]
