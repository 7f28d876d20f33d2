"""TSM: temporal shift module (Lin, Gan, Han, "TSM: Temporal Shift Module for Efficient Video Understanding", 2019).

    out_t[: C/8]        = x_{t+1}[: C/8]           one eighth of the channels comes from the next frame,
    out_t[C/8 : C/4]    = x_{t-1}[C/8 : C/4]       one eighth from the one before,
    out_t[C/4 :]        = x_t[C/4 :]               the rest stays; zeros come in at the clip's ends.

The zeros tell the network which frames are the first and the last, and through several layers where in the clip a frame
is. `padding_mode="replicate"` (not in the paper) has the first and the last frame keep their own features there, which
tells nothing of the kind: what is left is the order of neighbours.

`direction="unidirectional"` is the paper's shift for online recognition: the first C/8 channels come from the frame
before, and nothing from the next, so that a frame can be answered before the next one is there (`m2a.Stream`).

    out_t[: C/8]        = x_{t-1}[: C/8]
    out_t[C/8 :]        = x_t[C/8 :]

Trained on clips, such a network learns that zeros mean the first frame, and in a stream that runs on there are none.
`padding_mode="stream"` (not in the paper) trains it for that: of the clips of a batch a third have zeros before them,
as where a stream begins, a third the last frame of another clip of the batch, as where one action follows another, and
a third their own first frame, as where nothing has moved yet. A batch of one has zeros. In evaluation it is zeros.

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
from m2a.mechanisms.direction import Direction, check_direction
from m2a.mechanisms.gate import check_clip
from m2a.mechanisms.gating import is_traced

PaddingMode = Literal["zeros", "replicate", "stream"]
Moves = tuple[tuple[int, int, int], ...]
"""Which channels are shifted, from and to, and by how many frames: 1, from the next one, or -1, from the one before."""


class TemporalShift(nn.Module):
    """Shifts C // shift_div channels one frame back in time and as many one frame forward; (B, T, C, H, W) -> the same.
    Source: TSM, section 3, bi-directional shift; with `direction="unidirectional"` section 3's shift for online
    recognition, in which C // shift_div channels come from the frame before and none from the next.

    `padding_mode` says what comes in at the clip's ends, as in torch's convolutions: "zeros" as in the paper, or
    "replicate", the frame's own features, or "stream", for the unidirectional shift: zeros in evaluation, and in
    training by turns zeros, what the last frame of the next clip of the batch has, without its gradient, and the
    frame's own.

    Raises SpecError when fewer than `shift_div` channels leave nothing to shift, for another padding mode or direction,
    and for "stream" both ways.
    """

    def __init__(
        self,
        channels: int,
        *,
        shift_div: int = 8,
        padding_mode: PaddingMode = "zeros",
        direction: Direction = "bidirectional",
    ):
        super().__init__()
        if padding_mode not in get_args(PaddingMode):
            raise SpecError(
                f"padding_mode={padding_mode!r} is not known. 'zeros' (the paper) shifts zeros in at the clip's ends; "
                "'replicate' leaves the first and the last frame their own features; 'stream' trains the "
                "unidirectional shift for streams that run on."
            )
        check_direction(direction)
        if padding_mode == "stream" and direction != "unidirectional":
            raise SpecError("padding_mode='stream' is of direction='unidirectional': a stream has no frame to come.")
        if not isinstance(shift_div, int) or not 2 <= shift_div <= channels:
            raise SpecError(
                f"tsm shifts channels // shift_div channels each way: with {channels} channels shift_div must lie in "
                f"2..{channels}, got {shift_div!r}."
            )
        self.channels = channels
        self.fold = channels // shift_div
        self.padding_mode = padding_mode
        self.direction = direction

    def forward(self, x_BTCHW: Float[Tensor, "B T C H W"]) -> Float[Tensor, "B T C H W"]:
        check_clip(x_BTCHW, self.channels)
        padding_mode = self.padding_mode if self.training or self.padding_mode != "stream" else "zeros"
        if is_traced() or padding_mode != "zeros":
            return plain_shift(x_BTCHW, self.moves, padding_mode)
        return _Shift.apply(x_BTCHW, self.moves)

    @property
    def moves(self) -> Moves:
        if self.direction == "unidirectional":
            return ((0, self.fold, -1),)
        return (0, self.fold, 1), (self.fold, 2 * self.fold, -1)

    def extra_repr(self) -> str:
        told = [f"{self.channels}, fold={self.fold}"]
        told += [] if self.padding_mode == "zeros" else [f"padding_mode={self.padding_mode!r}"]
        told += ["direction='unidirectional'"] if len(self.moves) == 1 else []
        return ", ".join(told)


def plain_shift(
    x_BTCHW: Float[Tensor, "B T C H W"], moves: Moves, padding_mode: PaddingMode = "zeros"
) -> Float[Tensor, "B T C H W"]:
    """The shift without assignments into slices, which exporters do not take."""
    channels_last = x_BTCHW.permute(0, 1, 3, 4, 2).is_contiguous()  # then the result is too
    x = x_BTCHW.permute(0, 1, 3, 4, 2) if channels_last else x_BTCHW
    axis = -1 if channels_last else 2
    widths = [stop - start for start, stop, _ in moves]
    *moved, rest = x.split([*widths, x_BTCHW.shape[2] - sum(widths)], dim=axis)
    parts = []
    for part, (_, _, step) in zip(moved, moves, strict=True):
        edge = part[:, -1:] if step > 0 else part[:, :1]
        if padding_mode == "zeros":
            edge = torch.zeros_like(edge)
        elif padding_mode == "stream":
            turn = torch.arange(edge.shape[0], device=edge.device).view(-1, 1, 1, 1, 1) % 3
            before = part[:, -1:].detach().roll(-1, 0)
            edge = torch.where(turn == 0, torch.zeros_like(edge), torch.where(turn == 1, before, edge))
        parts.append(torch.cat([part[:, 1:], edge] if step > 0 else [edge, part[:, :-1]], dim=1))
    shifted = torch.cat([*parts, rest], dim=axis)
    return shifted.permute(0, 1, 4, 2, 3) if channels_last else shifted


class _Shift(torch.autograd.Function):
    """The same with one copy of the features, over a quarter of which the shifted channels are written. The derivative
    is the shift the other way round; nothing is kept for it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, moves: Moves) -> Tensor:
        ctx.moves = moves
        out = x.clone()
        for start, stop, step in moves:
            part = slice(start, stop)
            to, source, blank = (
                (slice(None, -1), slice(1, None), -1) if step > 0 else (slice(1, None), slice(None, -1), 0)
            )
            out[:, to, part] = x[:, source, part]
            out[:, blank, part] = 0
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        back = tuple((start, stop, -step) for start, stop, step in ctx.moves)
        return _Shift.apply(g, back), None


def _build_shift(
    *,
    channels: int,
    shift_div: int = 8,
    padding_mode: PaddingMode = "zeros",
    direction: Direction = "bidirectional",
    **_: object,
) -> nn.Module:
    return TemporalShift(channels, shift_div=shift_div, padding_mode=padding_mode, direction=direction)


register_part(
    PartInfo(
        name="tsm",
        kind="whole",
        summary="Shifts an eighth of the channels one frame each way; free of parameters and multiply-adds.",
        paper="Lin, Gan, Han: TSM, section 3",
        build=_build_shift,
        options=frozenset({"shift_div", "padding_mode", "direction"}),
    )
)
