"""M2A-plus: M2A that knows when a frame is, and opens wide. Not in the M2A paper; what is different, and what each
difference gains, is in docs/decisions/m2a-plus.md.

    n_t, m_t, a_t as in `m2a.py`
    e_t = W_time phi(t)                                 phi_k(t) = cos(pi k (t + 1/2) / T), k = 1 ... K
    y_t = a_t + m_t + e_t                               where M2A adds the reduced features z_t
    out = x + span * x * (sigmoid(expand(y)) - 1/2)     span 4: features are multiplied by -1 to 3

- Time. M2A is blind to where in a clip a frame is: its attention knows no order, and its motion wraps around. e_t
  tells the gate, as position embeddings tell a transformer. The basis is of the frame's place in the clip, from 0 to 1,
  and so holds for any T.
- The frame's own motion. Where frames differ little, attention mixes all of them, and their motions, which wrap around,
  cancel. So m_t is added (`residual`).
- The gate starts as the exact identity (`expand` is zero), and its slope there is one: 4 * sigmoid'(0). The paper's
  slope is a quarter.
- With `direction="unidirectional"` (see `m2a.py`) a frame looks back alone, and time must be left out: a stream has no
  end to be near to.
- Multiply-adds and parameters are M2A's and K * c numbers a site.

Shapes: B clips, T frames, c = C/R reduced channels, K cosines.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from m2a.errors import SpecError
from m2a.mechanisms.catalogue import PartInfo, Shorthand, register_part, register_shorthand
from m2a.mechanisms.direction import Direction
from m2a.mechanisms.gate import Gate
from m2a.mechanisms.m2a import FrameAttention, around

NUM_COSINES = 8
SPAN = 4.0


class TimedFrameAttention(FrameAttention):
    """M2A's attention, (B, T, c, H, W) -> the same, with an embedding of the frame's time in the place of the inner
    skip, and the input added (`residual`). Without `time_embedding` there is neither it nor the skip. `span` is how
    wide the gate around it opens.

    Raises SpecError for a span that is not positive, and for a time embedding where frames look back alone.
    """

    def __init__(
        self,
        *,
        channels: int,
        time_embedding: bool = True,
        residual: bool = True,
        span: float = SPAN,
        direction: Direction = "bidirectional",
    ):
        super().__init__(channels=channels, inner_skip="none", direction=direction)
        if time_embedding and direction == "unidirectional":
            raise SpecError(
                "m2a-plus tells a frame its place in the clip (time_embedding=True), and with "
                "direction='unidirectional' there is no end to tell it from. Pass time_embedding=False too."
            )
        self.residual = residual
        if not span > 0:
            raise SpecError(f"span={span!r} is how wide the gate opens, from 1 - span / 2 to 1 + span / 2: above zero.")
        self.span = float(span)
        self.time = nn.Parameter(torch.empty(channels, NUM_COSINES)) if time_embedding else None
        if self.time is not None:
            nn.init.normal_(self.time, std=(2 / NUM_COSINES) ** 0.5)  # e_t has deviation 1 then, as the norm has

    def skipped(self, z_BTcHW: Float[Tensor, "B T c H W"]) -> Float[Tensor, "T c 1 1"] | None:
        """The embedding of each frame's time; None is nothing."""
        if self.time is None:
            return None
        basis_KT = cosines(z_BTcHW.shape[1], device=self.time.device, dtype=self.time.dtype)
        return (self.time @ basis_KT).mT[:, :, None, None].to(z_BTcHW.dtype)

    def extra_repr(self) -> str:
        told = f"time_embedding={self.time is not None}, residual={self.residual}, span={self.span:g}"
        return told + (f", direction={self.direction!r}" if self.direction == "unidirectional" else "")


def cosines(num_frames: int, *, device: torch.device, dtype: torch.dtype) -> Float[Tensor, "K T"]:
    """phi_k(t) = cos(pi k (t + 1/2) / T) for k = 1 ... K."""
    fine = torch.promote_types(dtype, torch.float32)  # in bfloat16 alone cosines would be off by up to 0.07
    place_T = (torch.arange(num_frames, device=device, dtype=fine) + 0.5) / num_frames
    order_K = torch.arange(1, NUM_COSINES + 1, device=device, dtype=fine)
    return torch.cos(math.pi * order_K[:, None] * place_T).to(dtype)


def _build(
    *,
    channels: int,
    time_embedding: bool = True,
    residual: bool = True,
    span: float = SPAN,
    direction: Direction = "bidirectional",
    **_: object,
) -> nn.Module:
    return TimedFrameAttention(
        channels=channels, time_embedding=time_embedding, residual=residual, span=span, direction=direction
    )


def _gate(channels: int, *, motion: nn.Module, attention: nn.Module, reduction: int) -> Gate:
    assert isinstance(attention, TimedFrameAttention)
    gate = around(channels, motion=motion, attention=attention, reduction=reduction)
    gate.span = attention.span
    gate.start_as_identity()
    return gate


register_part(
    PartInfo(
        name="m2a-plus",
        kind="attention",
        summary="M2A's attention with an embedding of time for its inner skip, in a wider gate that starts closed.",
        paper="",
        build=_build,
        gate=_gate,
        options=frozenset({"direction", "time_embedding", "residual", "span"}),
    )
)
register_shorthand(
    Shorthand(
        name="m2a-plus",
        motion="m2a",
        attention="m2a-plus",
        summary="M2A that knows when a frame is, in a wider gate that starts as the identity. Not in the paper.",
    )
)
