"""Divided space-time attention over patches (Bertasius, Wang, Torresani, "Is Space-Time Attention All You Need for
Video Understanding?", 2021, section 3), as Table IV of M2A's paper puts it in the place of M2A's attention.

The reduced features are cut into p x p patches; a patch is a token of D = p * p * c numbers, and n is a layer norm
without weights over one token. First over time, each place by itself, then over space, each frame by itself:

    m = motion(n(z))
    u = softmax(m m' / sqrt(D)) m + z           over the T patches at one place
    v = n(u)
    y = softmax(v v' / sqrt(D)) v + u           over the patches of one frame

Where the map cannot be cut (H or W is not a multiple of p: small maps, odd sizes), one attention over all T * H * W
pixels, each a token of c numbers, takes the place of both:

    m = motion(n(z)),   y = softmax(m m' / sqrt(c)) m + z

Differs from the released code in: what follows a pixel there. The released code subtracted from each pixel the next
pixel of the flattened clip; here it is the same pixel of the next frame, which is motion. And W is looked at, not H
alone. For M2A's own boundary see `m2a.py`.

Shapes: B clips, T frames, c = C/R reduced channels, P patches in a frame, D numbers in a token.
"""

from __future__ import annotations

from functools import partial

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from m2a.mechanisms.catalogue import PartInfo, register_part
from m2a.mechanisms.gate import Gate


class PatchAttention(nn.Module):
    """Cuts clips into tokens of whole patches and joins them again; without weights. Source: TimeSformer, section 3."""

    def __init__(self, patch: int):
        super().__init__()
        self.patch = patch

    def cuts(self, x_BTcHW: Float[Tensor, "B T c H W"]) -> bool:
        """Whether the map can be cut into whole patches."""
        return x_BTcHW.shape[3] % self.patch == 0 and x_BTcHW.shape[4] % self.patch == 0

    def cut(self, x_BTcHW: Float[Tensor, "B T c H W"]) -> Float[Tensor, "B T P D"]:
        """Tokens of whole patches, or of single pixels where the map cannot be cut."""
        side = self.patch if self.cuts(x_BTcHW) else 1
        rows = x_BTcHW.unflatten(4, (-1, side)).unflatten(3, (-1, side))  # B T c h p w p
        return rows.permute(0, 1, 3, 5, 4, 6, 2).flatten(4).flatten(2, 3)

    def join(self, tokens_BTPD: Float[Tensor, "B T P D"], *, like: Tensor) -> Float[Tensor, "B T c H W"]:
        """Puts tokens back in their places: the inverse of `cut` for a clip shaped as `like`."""
        batch, frames, channels, height, width = like.shape
        side = self.patch if self.cuts(like) else 1
        rows = tokens_BTPD.reshape(batch, frames, height // side, width // side, side, side, channels)
        return rows.permute(0, 1, 6, 2, 4, 3, 5).reshape(like.shape)

    def extra_repr(self) -> str:
        return f"patch={self.patch}"


class PatchGate(Gate):
    """The gate with divided space-time attention: over time, after the motion, then over space."""

    attention: PatchAttention

    def temporal(self, z_BTcHW: Float[Tensor, "B T c H W"]) -> Float[Tensor, "B T c H W"]:
        cut, join = self.attention.cut, partial(self.attention.join, like=z_BTcHW)
        motion_BTPD = cut(self.motion(join(_norm(cut(z_BTcHW)))))
        if not self.attention.cuts(z_BTcHW):
            pixels_B1SD = motion_BTPD.flatten(1, 2).unsqueeze(1)
            return join(_attend(pixels_B1SD).view_as(motion_BTPD)) + z_BTcHW
        over_time_BTPD = _attend(motion_BTPD.transpose(1, 2)).transpose(1, 2) + cut(z_BTcHW)
        over_space_BTPD = _attend(_norm(over_time_BTPD)) + over_time_BTPD
        return join(over_space_BTPD)


def _norm(tokens: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
    return F.layer_norm(tokens, tokens.shape[-1:])


def _attend(tokens: Float[Tensor, "B P S D"]) -> Float[Tensor, "B P S D"]:
    """Softmax attention along S; queries, keys and values are the tokens. No S x S matrix is kept in memory.
    Four dimensions, since the export to ONNX takes no others."""
    return F.scaled_dot_product_attention(tokens, tokens, tokens)


def _build(*, patch: int, **_: object) -> nn.Module:
    return PatchAttention(patch)


for _patch in (4, 8):
    register_part(
        PartInfo(
            name=f"patch{_patch}",
            kind="attention",
            summary=f"Attention over {_patch} x {_patch} patches, first across time, then across space.",
            paper="Bertasius et al.: TimeSformer, section 3; M2A, Table IV",
            build=partial(_build, patch=_patch),
            gate=PatchGate,
            sees_neighbours=True,
        )
    )
