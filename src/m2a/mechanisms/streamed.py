"""Mechanisms that look back alone, given one frame at a time: what stands in the place of their parts in a stream.

Each keeps one tensor of the frames before, which is zeros where a stream begins, and says the same as the part does of
the clip of the frames so far. An attention keeps as many motions as a clip has frames.

Shapes: B streams, T frames of a clip, C channels, c reduced ones, H, W.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from m2a.mechanisms.gate import Gate
from m2a.mechanisms.identity import IdentityStart
from m2a.mechanisms.m2a import FrameAttention, FrameDifference, attend
from m2a.mechanisms.tsm import TemporalShift

_FRAMEWISE = (nn.Identity, nn.Sequential, nn.Conv2d, IdentityStart, Gate)
"""What makes of a frame what it makes of it in any clip, but for the parts in it."""


@dataclass
class Past:
    """What streamed parts share."""

    count: Tensor
    """How many frames each stream has had, at most T: (B,)."""
    kept: list[Tensor | None]
    """Of each part, in the order of a pass; None is nothing yet."""


@dataclass(frozen=True)
class _Place:
    """Of one part in what is kept."""

    past: Past
    number: int

    def take(self, *, default: Tensor) -> Tensor:
        kept = self.past.kept[self.number]
        return torch.zeros_like(default) if kept is None else kept

    def keep(self, value: Tensor) -> None:
        self.past.kept[self.number] = value

    def take_or_own(self, own: Tensor) -> Tensor:
        """What was kept; of a stream that begins, `own`."""
        is_first = (self.past.count == 0).view(-1, *[1] * (own.ndim - 1))
        return torch.where(is_first, own, self.take(default=own))


class StreamedShift(nn.Module):
    """`TemporalShift`, (B, 1, C, H, W) -> the same. Kept are the shifted channels, (B, C // shift_div, H, W)."""

    def __init__(self, shift: TemporalShift, place: _Place):
        super().__init__()
        self.fold, self._replicate = shift.fold, shift.padding_mode == "replicate"
        self._place = place

    def forward(self, x_B1CHW: Float[Tensor, "B 1 C H W"]) -> Float[Tensor, "B 1 C H W"]:
        x_BCHW = x_B1CHW.flatten(0, 1)
        shifted = x_BCHW[:, : self.fold].clone()  # what follows may write into x
        before = self._place.take_or_own(shifted) if self._replicate else self._place.take(default=shifted)
        self._place.keep(shifted)
        return torch.cat([before, x_BCHW[:, self.fold :]], dim=1)[:, None]


class StreamedDifference(nn.Module):
    """`FrameDifference`, (B, 1, c, H, W) -> the same. Kept is the frame before."""

    def __init__(self, difference: FrameDifference, place: _Place):
        super().__init__()
        self._replicate = difference.boundary == "replicate"
        self._place = place

    def forward(self, x_B1cHW: Float[Tensor, "B 1 c H W"]) -> Float[Tensor, "B 1 c H W"]:
        before = self._place.take_or_own(x_B1cHW) if self._replicate else self._place.take(default=x_B1cHW)
        self._place.keep(x_B1cHW.clone())
        return x_B1cHW - before


class StreamedAttention(nn.Module):
    """`FrameAttention` over the last T frames, (B, 1, c, H, W) -> the same. Kept are these, (B, T, c, H, W)."""

    def __init__(self, attention: FrameAttention, place: _Place, num_frames: int):
        super().__init__()
        self.attention = attention
        self.num_frames = num_frames
        self._place = place

    def forward(self, x_B1cHW: Float[Tensor, "B 1 c H W"]) -> Float[Tensor, "B 1 c H W"]:
        last_BTcHW = self._place.take(default=x_B1cHW.expand(-1, self.num_frames, -1, -1, -1))
        last_BTcHW = torch.cat([last_BTcHW[:, 1:], x_B1cHW], dim=1)
        self._place.keep(last_BTcHW)
        attended_B1cHW = attend(x_B1cHW, last_BTcHW, self._weights)
        return attended_B1cHW + x_B1cHW if self.attention.residual else attended_B1cHW

    def _weights(self, scores_B1T: Float[Tensor, "B 1 T"]) -> Float[Tensor, "B 1 T"]:
        """Where a stream has had fewer than T frames, the first places are empty."""
        age_T = torch.arange(self.num_frames - 1, -1, -1, device=scores_B1T.device)
        return scores_B1T.masked_fill(age_T > self._place.past.count[:, None, None], -torch.inf).softmax(-1)

    def skipped(self, z_B1cHW: Float[Tensor, "B 1 c H W"]) -> Tensor | None:
        """What the gate adds to the attention's result; None is nothing."""
        return self.attention.skipped(z_B1cHW)


def looks_back_alone(part: nn.Module) -> bool | None:
    """Whether this part of a mechanism, whatever is in it, does without frames that come later; None: it could, with
    `direction="unidirectional"`."""
    if isinstance(part, TemporalShift | FrameDifference | FrameAttention):
        return True if part.direction == "unidirectional" else None
    return isinstance(part, _FRAMEWISE)


def put_streamed_parts(mechanism: nn.Module, past: Past, num_frames: int) -> nn.Module:
    """The mechanism, with streamed parts in the place of its own; T = `num_frames`. For parts that look back alone."""
    streamed: dict[type[nn.Module], Callable[..., nn.Module]] = {
        TemporalShift: StreamedShift,
        FrameDifference: StreamedDifference,
        FrameAttention: lambda attention, place: StreamedAttention(attention, place, num_frames),
    }
    holder = nn.ModuleDict({"mechanism": mechanism})  # the mechanism may be such a part itself
    for name, part in list(holder.named_modules()):
        for kind, make in streamed.items():
            if isinstance(part, kind):
                past.kept.append(None)
                holder.set_submodule(name, make(part, _Place(past, len(past.kept) - 1)))
    return holder["mechanism"]
