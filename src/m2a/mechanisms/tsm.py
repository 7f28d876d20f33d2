"""TSM: temporal shift module (Lin, Gan, Han, "TSM: Temporal Shift Module for Efficient Video Understanding", 2019).

    out_t[: C/8]        = x_{t+1}[: C/8]           one eighth of the channels comes from the next frame,
    out_t[C/8 : C/4]    = x_{t-1}[C/8 : C/4]       one eighth from the one before,
    out_t[C/4 :]        = x_t[C/4 :]               the rest stays; zeros come in at the clip's ends.

The zeros tell the network which frames are the first and the last, and through several layers where in the clip a frame
is. `padding_mode="replicate"` (not in the paper) has the first and the last frame keep their own features there, which
tells nothing of the kind: what is left is the order of neighbours.

No parameters and no multiply-adds. Differs from the released code in: nothing but the shift being written without
assignment into slices where a graph is traced, so that it exports and compiles.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from m2a.errors import SpecError
from m2a.mechanisms.catalogue import PartInfo, register_part
from m2a.mechanisms.gate import check_clip
from m2a.mechanisms.gating import is_traced

PaddingMode = Literal["zeros", "replicate"]


class TemporalShift(nn.Module):
    """Shifts C // shift_div channels one frame back in time and as many one frame forward; (B, T, C, H, W) -> the same.
    Source: TSM, section 3, bi-directional shift.

    `padding_mode` says what comes in at the clip's ends, as in torch's convolutions: "zeros" as in the paper, or
    "replicate", the frame's own features.

    Raises SpecError when fewer than `shift_div` channels leave nothing to shift, and for another padding mode.
    """

    def __init__(self, channels: int, *, shift_div: int = 8, padding_mode: PaddingMode = "zeros"):
        super().__init__()
        if padding_mode not in get_args(PaddingMode):
            raise SpecError(
                f"padding_mode={padding_mode!r} is not known. 'zeros' (the paper) shifts zeros in at the clip's ends; "
                "'replicate' leaves the first and the last frame their own features."
            )
        if not 2 <= shift_div <= channels:
            raise SpecError(
                f"tsm shifts channels // shift_div channels each way: with {channels} channels shift_div must lie in "
                f"2..{channels}, got {shift_div}."
            )
        self.channels = channels
        self.fold = channels // shift_div
        self.padding_mode = padding_mode

    def forward(self, x_BTCHW: Float[Tensor, "B T C H W"]) -> Float[Tensor, "B T C H W"]:
        check_clip(x_BTCHW, self.channels)
        if is_traced() or self.padding_mode != "zeros":
            return plain_shift(x_BTCHW, self.fold, self.padding_mode)
        return _Shift.apply(x_BTCHW, self.fold, 1)

    def extra_repr(self) -> str:
        padding = "" if self.padding_mode == "zeros" else f", padding_mode={self.padding_mode!r}"
        return f"{self.channels}, fold={self.fold}{padding}"


def plain_shift(
    x_BTCHW: Float[Tensor, "B T C H W"], fold: int, padding_mode: PaddingMode = "zeros"
) -> Float[Tensor, "B T C H W"]:
    """The shift without assignments into slices, which exporters do not take."""
    channels_last = x_BTCHW.permute(0, 1, 3, 4, 2).is_contiguous()  # then the result is too
    x = x_BTCHW.permute(0, 1, 3, 4, 2) if channels_last else x_BTCHW
    axis = -1 if channels_last else 2
    ahead, behind, rest = x.split([fold, fold, x_BTCHW.shape[2] - 2 * fold], dim=axis)
    first, last = behind[:, :1], ahead[:, -1:]
    if padding_mode == "zeros":
        first, last = torch.zeros_like(first), torch.zeros_like(last)
    ahead = torch.cat([ahead[:, 1:], last], dim=1)
    behind = torch.cat([first, behind[:, :-1]], dim=1)
    shifted = torch.cat([ahead, behind, rest], dim=axis)
    return shifted.permute(0, 1, 4, 2, 3) if channels_last else shifted


class _Shift(torch.autograd.Function):
    """The same with one copy of the features, over a quarter of which the shifted channels are written. The derivative
    is the shift the other way round; nothing is kept for it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, fold: int, step: int) -> Tensor:
        ctx.fold, ctx.step = fold, step
        out = x.clone()
        for part, shift in ((slice(fold), step), (slice(fold, 2 * fold), -step)):
            to, source, blank = (
                (slice(None, -1), slice(1, None), -1) if shift > 0 else (slice(1, None), slice(None, -1), 0)
            )
            out[:, to, part] = x[:, source, part]
            out[:, blank, part] = 0
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        return _Shift.apply(g, ctx.fold, -ctx.step), None, None


def _build_shift(*, channels: int, shift_div: int = 8, padding_mode: PaddingMode = "zeros", **_: object) -> nn.Module:
    return TemporalShift(channels, shift_div=shift_div, padding_mode=padding_mode)


register_part(
    PartInfo(
        name="tsm",
        kind="whole",
        summary="Shifts an eighth of the channels one frame each way; free of parameters and multiply-adds.",
        paper="Lin, Gan, Han: TSM, section 3",
        build=_build_shift,
        options=frozenset({"shift_div", "padding_mode"}),
    )
)
