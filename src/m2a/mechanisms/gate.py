"""The gate that all motions and attentions of the paper share (section III).

    z    = reduce(x)                        1x1 convolution, C -> C/R
    y    = attention(motion(norm(z))) + z   with an attention;   y = motion(z) without one
    out  = x + x * sigmoid(expand(y))       1x1 convolution, C/R -> C

`norm` is a layer norm without weights over each frame's (C/R, H, W). Without an attention there is neither norm nor
inner skip, as in the released code.

A gate can start as the exact identity (`start_as_identity`, not in the paper): with `expand` at zero and

    out  = x + x * (sigmoid(expand(y)) - 1/2)

which multiplies features by 1/2 to 3/2, where the paper's gate multiplies them by 1 to 2. A gate can be wider, too
(`span`, not in the paper): span times the last bracket.

Shapes: B clips, T frames, C channels, c = C/R reduced channels, H, W.
"""

from __future__ import annotations

import operator

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from m2a.errors import ClipShapeError
from m2a.mechanisms.gating import gate


def check_clip(x_BTCHW: Tensor, channels: int) -> None:
    """Raises ClipShapeError unless `x` is a clip of features (B, T >= 1, channels, H, W)."""
    if x_BTCHW.ndim != 5:
        raise ClipShapeError(
            f"A mechanism takes clips of features (B, T, C, H, W); got {x_BTCHW.ndim} dimensions, "
            f"{tuple(x_BTCHW.shape)}. Use x.unflatten(0, (-1, num_frames)) on folded frames."
        )
    if x_BTCHW.shape[2] != channels:
        raise ClipShapeError(
            f"This mechanism was built for {channels} channels; got {x_BTCHW.shape[2]} in {tuple(x_BTCHW.shape)}. "
            "The layout is (B, T, C, H, W)."
        )
    if x_BTCHW.shape[1] < 1:
        raise ClipShapeError(f"A clip has at least one frame; got T = 0 in {tuple(x_BTCHW.shape)}.")


class Gate(nn.Module):
    """Gates a clip's features by what a motion and an attention make of their reduced copy. Source: paper, section III.

    Args:
        channels: C of the features.
        motion: takes and returns (B, T, c, H, W).
        attention: takes and returns (B, T, c, H, W); None leaves out norm and inner skip too.
        reduction: R; c = max(C // R, 1).
    """

    def __init__(self, channels: int, *, motion: nn.Module, attention: nn.Module | None, reduction: int = 8):
        super().__init__()
        self.channels = channels
        reduced = reduced_channels(channels, reduction)
        self.reduce = nn.Conv2d(channels, reduced, kernel_size=1)
        self.motion = motion
        self.attention = attention
        self.expand = nn.Conv2d(reduced, channels, kernel_size=1)
        self.centre = 0.0
        self.span = 1.0

    def start_as_identity(self) -> None:
        """Makes this gate one around zero, with `expand` at zero: it gives back what it is given, until it is
        trained."""
        nn.init.zeros_(self.expand.weight)
        if self.expand.bias is not None:
            nn.init.zeros_(self.expand.bias)
        self.centre = 0.5

    def forward(self, x_BTCHW: Float[Tensor, "B T C H W"]) -> Float[Tensor, "B T C H W"]:
        check_clip(x_BTCHW, self.channels)
        x_NCHW = x_BTCHW.flatten(0, 1)
        z_BTcHW = self.reduce(x_NCHW).unflatten(0, x_BTCHW.shape[:2])
        y_BTcHW = self.temporal(z_BTcHW)
        out_NCHW = gate(x_NCHW, y_BTcHW.flatten(0, 1), self.expand, centre=self.centre, span=self.span)
        return out_NCHW.unflatten(0, x_BTCHW.shape[:2])

    def temporal(self, z_BTcHW: Float[Tensor, "B T c H W"]) -> Float[Tensor, "B T c H W"]:
        """Everything between the two 1x1 convolutions."""
        if self.attention is None:
            return self.motion(z_BTcHW)
        norm_BTcHW = F.layer_norm(z_BTcHW, z_BTcHW.shape[2:])
        return self.with_skip(self.attention(self.motion(norm_BTcHW)), z_BTcHW)

    def with_skip(
        self, attended_BTcHW: Float[Tensor, "B T c H W"], z_BTcHW: Float[Tensor, "B T c H W"]
    ) -> Float[Tensor, "B T c H W"]:
        """The inner skip: the reduced features added, unless the attention has another way (`inner_skip`)."""
        skipped = getattr(self.attention, "skipped", None)
        added = z_BTcHW if skipped is None else skipped(z_BTcHW)
        return attended_BTcHW if added is None else attended_BTcHW + added


def reduced_channels(channels: int, reduction: int) -> int:
    """c = C // R, at least 1. Raises ClipShapeError for a reduction below 1, or that is no whole number."""
    try:
        operator.index(reduction)
    except TypeError:
        raise ClipShapeError(f"reduction divides the channels and must be a whole number; got {reduction!r}.") from None
    if reduction < 1:
        raise ClipShapeError(f"reduction divides the channels and must be at least 1; got {reduction}.")
    return max(channels // reduction, 1)
