"""Names of layers and of parts of mechanisms: what the sources call them, and what they are called here."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

_RESNET = re.compile(r"(?:conv1|bn1|layer[1-4]\.\d+\.(?:(?:conv|bn)[123]|(?:conv|bn)s\.\d+|downsample\.[01]))")
_DIFFERENCE = {  # TEA's and TDN's motions inside the released gate
    "conv1": "conv_in",
    "bn1": "norm_in",
    "conv2": "conv_next",
    "conv3": "conv_out",
    "bn3": "norm_out",
    "conv3_smallscale2": "conv_half",
    "bn3_smallscale2": "norm_half",
    "conv3_smallscale4": "conv_full",
    "bn3_smallscale4": "norm_full",
}
BLOCKS_OF_MOBILENET = (1, 2, 3, 4, 3, 3, 1)
"""In each stage of a MobileNetV2; the first of a stage has no skip around it."""
_TAM = {"G": "kernel_branch", "L": "importance_branch"}
_PART = re.compile(r"modules_list\.0\.(?:(motion_mod|attn)\.)?([^.]+)\.(.+)")


def _mobilenet_layers() -> Iterator[tuple[str, str]]:
    yield from (("features.0.0", "conv_stem"), ("features.0.1", "bn1"))
    yield from (("features.18.0", "conv_head"), ("features.18.1", "bn2"))
    expanding = {0: "conv_pw", 1: "bn1", 3: "conv_dw", 4: "bn2", 6: "conv_pwl", 7: "bn3"}
    first = {0: "conv_dw", 1: "bn1", 3: "conv_pw", 4: "bn2"}  # the one block that does not expand
    number = 1
    for stage, blocks in enumerate(BLOCKS_OF_MOBILENET):
        for block in range(blocks):
            for index, name in (first if stage == 0 else expanding).items():
                yield f"features.{number}.conv.{index}", f"blocks.{stage}.{block}.{name}"
            number += 1


_MOBILENET = dict(_mobilenet_layers())


def timm_layer(layer: str) -> str | None:
    """timm's name for a layer of torchvision's ResNets, of Res2Net or of tonylins' MobileNetV2; None for any other."""
    return layer if _RESNET.fullmatch(layer) else _MOBILENET.get(layer)


def gate_key(key: str) -> str | None:
    """A key inside the released M2A module as ours, or None when the module has no such part here."""
    if match := re.fullmatch(r"conv_(down|up)\.(weight|bias)", key):
        return f"{'reduce' if match[1] == 'down' else 'expand'}.{match[2]}"
    match = _PART.fullmatch(key)
    if match is None:
        return None
    inside, layer, rest = match.groups()
    if layer in _DIFFERENCE and inside != "attn":
        return f"motion.{_DIFFERENCE[layer]}.{rest}"
    if layer in _TAM and inside != "motion_mod":
        return f"attention.{_TAM[layer]}.{rest}"
    return None


def tam_key(key: str) -> str | None:
    """A key inside TAM's own module as ours."""
    branch, _, rest = key.partition(".")
    return f"{_TAM[branch]}.{rest}" if branch in _TAM and rest else None


def gate_spec(keys: Collection[str]) -> str | None:
    """Which mechanism the keys of one released M2A module are of; None when it has weights of its gate alone, which
    several have."""
    matches = [match for key in keys if (match := _PART.fullmatch(key))]
    if not matches:
        return None
    layers = {match[2] for match in matches}
    motion = "tdn" if any("smallscale" in layer for layer in layers) else "tea" if layers & set(_DIFFERENCE) else None
    attention = "tam" if layers & set(_TAM) else None
    if any(match[1] for match in matches):
        return f"{motion or 'm2a'}:{attention or 'm2a'}"
    return motion or attention
