"""Keys of networks that are TSN-like under other names, in the names of TSN's code, which `sources` reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

from m2a.interop.keys import BLOCKS_OF_MOBILENET

Layout = Callable[[Collection[str]], dict[str, str]]
"""From the keys of a file to the keys as TSN's code would have them; keys that it does not know stay as they are."""

_MM_PREFIX = re.compile(r"backbone\.|cls_head\.")
_MM_BLOCK = re.compile(r"layer(\d)\.(\d+)\.conv\.(\d)\.(?:(net)\.)?(conv|bn)\.(\w+)")
_MM_RENAMED = (
    (r"^cls_head\.fc_cls\.", "new_fc."),
    (r"^backbone\.", "base_model."),
    (r"\.(\d+)\.block\.", r".\1."),
    (r"\.(\d+)\.non_local_block\.", r".\1.nl."),
    (r"\bconv(\d)\.conv\.", r"conv\1."),
    (r"\bconv(\d)\.bn\.", r"bn\1."),
    (r"\bdownsample\.conv\.", "downsample.0."),
    (r"\bdownsample\.bn\.", "downsample.1."),
)
_ONLINE = re.compile(r"features\.\d+\.(?:\d|conv)\..+|classifier\.(?:weight|bias)")
_EXPANSION = re.compile(r"features\.(\d+)\.conv\.0\.(weight)")


def is_mmaction2(keys: Collection[str]) -> bool:
    """Whether all keys are those of a recogniser of mmaction2: a backbone and a head."""
    return any(key.startswith("cls_head.") for key in keys) and all(_MM_PREFIX.match(key) for key in keys)


def from_mmaction2(keys: Collection[str]) -> dict[str, str]:
    """mmaction2's recognisers: `backbone.<layer>.conv.*` and `.bn.*`, and the head `cls_head.fc_cls`."""
    mobile = any(_MM_BLOCK.fullmatch(key.removeprefix("backbone.")) for key in keys)
    return {key: (_mobilenet(key) if mobile else None) or _renamed(key) for key in keys}


def _renamed(key: str) -> str:
    for pattern, replacement in _MM_RENAMED:
        key = re.sub(pattern, replacement, key)
    return key


def _mobilenet(key: str) -> str | None:
    """A key of mmaction2's MobileNetV2 in the layers of tonylins', where a block is one row of layers; None for the
    head."""
    name = key.removeprefix("backbone.")
    if match := _MM_BLOCK.fullmatch(name):
        stage, block, part, shifted, kind, parameter = match.groups()
        number = sum(BLOCKS_OF_MOBILENET[: int(stage) - 1]) + int(block) + 1
        layer = f"base_model.features.{number}.conv.{3 * int(part) + (kind == 'bn')}"
        return f"{layer}.net.{parameter}" if shifted and kind == "conv" else f"{layer}.{parameter}"
    if match := re.fullmatch(r"conv([12])\.(conv|bn)\.(\w+)", name):
        number = 0 if match[1] == "1" else sum(BLOCKS_OF_MOBILENET) + 1
        return f"base_model.features.{number}.{int(match[2] == 'bn')}.{match[3]}"
    return None


def is_online_tsm(keys: Collection[str]) -> bool:
    """Whether all keys are those of TSM's network for streams, a MobileNetV2 without anything around it."""
    return "classifier.weight" in keys and all(_ONLINE.fullmatch(key) for key in keys)


def from_online_tsm(keys: Collection[str]) -> dict[str, str]:
    """TSM's network for streams, which shifts in the expanding blocks that have a skip, and has no keys that say so."""
    if not is_online_tsm(keys):
        return {key: key for key in keys}
    return {key: f"base_model.{_EXPANSION.sub(_mark, key)}".replace("base_model.classifier", "new_fc") for key in keys}


def _mark(match: re.Match[str]) -> str:
    shifted = f"features.{match[1]}.conv.0.net.{match[2]}"
    return shifted if int(match[1]) in _WITH_SKIP else match[0]


def _with_skip() -> frozenset[int]:
    """Numbers of the layers of a MobileNetV2 that expand and have a skip: all of a stage but its first."""
    first = [1 + sum(BLOCKS_OF_MOBILENET[:stage]) for stage in range(len(BLOCKS_OF_MOBILENET))]
    return frozenset(range(1, sum(BLOCKS_OF_MOBILENET) + 1)) - frozenset(first)


_WITH_SKIP = _with_skip()

LAYOUTS: Mapping[str, Layout] = {"mmaction2": from_mmaction2, "tsm": from_online_tsm}
"""By source, where its networks come in another layout than TSN's."""
