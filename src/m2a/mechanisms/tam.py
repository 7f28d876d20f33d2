"""TAM: temporal adaptive module (Liu, Wang, Wu, Qian, Lu, "TAM: Temporal Adaptive Module for Video Recognition", 2021,
section 3), as the attention inside M2A's gate (`tam`), and by itself, as its authors place it (`tanet`).

    p_t     = mean of x_t over space                                (B, T, c)
    kernel  = softmax(W_2 relu(norm(W_1 p)))                        K = 3 numbers for each clip and channel, from T
    a_t     = x_t * sigmoid(V_2 relu(norm(V_1 p)))_t                V_1 a convolution over time, K = 3
    y_t     = sum_k kernel_k a_{t + k - 1}                          zeros outside the clip

The number of frames T is the width of W_1: this mechanism alone is bound to it.

In the gate, the inner width of the V is c; there is neither norm nor inner skip when TAM comes without a motion, both
when it comes with one; all as in the released code of M2A. Differs from it in: the sum over k being written as shifts
instead of a convolution in B * c groups, whose multiply-adds (0.02% of ResNet-18) are therefore not counted.

`tanet` works on all C channels, inner width C / 4, no gate around it. Its authors place it in front of the second
convolution of each bottleneck: `where=r"layer\\d\\.\\d+\\.conv2"`. Differs from their code in: nothing else.

Shapes: B clips, T frames, c channels, K = 3 taps.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from m2a.errors import ClipShapeError, SpecError
from m2a.mechanisms.catalogue import PartInfo, Shorthand, register_part, register_shorthand
from m2a.mechanisms.gate import Gate, check_clip

_TAPS = 3


class TemporalAdaptive(nn.Module):
    """A convolution over time whose kernel each clip makes for each channel; (B, T, c, H, W) -> the same.
    Source: TAM, section 3.

    Args:
        channels: c.
        num_frames: T; clips of another length raise ClipShapeError.
        beta: the importance branch works on c // beta channels.

    Raises SpecError for a beta below 1.
    """

    def __init__(self, channels: int, num_frames: int, *, beta: int = 1):
        super().__init__()
        if beta < 1:
            raise SpecError(f"beta divides tam's channels and must be at least 1; got {beta}.")
        self.channels = channels
        self.num_frames = num_frames
        inner = max(channels // beta, 1)
        self.kernel_branch = nn.Sequential(
            nn.Linear(num_frames, 2 * num_frames, bias=False),
            nn.BatchNorm1d(2 * num_frames),
            nn.ReLU(),
            nn.Linear(2 * num_frames, _TAPS, bias=False),
            nn.Softmax(dim=-1),
        )
        self.importance_branch = nn.Sequential(
            nn.Conv1d(channels, inner, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm1d(inner),
            nn.ReLU(),
            nn.Conv1d(inner, channels, kernel_size=1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x_BTcHW: Float[Tensor, "B T c H W"]) -> Float[Tensor, "B T c H W"]:
        self._check(x_BTcHW)
        pooled_BcT = x_BTcHW.mean((3, 4)).mT
        kernel_BcK = self.kernel_branch(pooled_BcT.flatten(0, 1)).unflatten(0, pooled_BcT.shape[:2])
        importance_BTc = self.importance_branch(pooled_BcT).mT
        a_BTcHW = x_BTcHW * importance_BTc[..., None, None].to(x_BTcHW.dtype)
        before, now, after = kernel_BcK.to(x_BTcHW.dtype)[:, None, :, None, None, :].unbind(-1)
        y_BTcHW = now * a_BTcHW
        y_BTcHW[:, 1:] += before * a_BTcHW[:, :-1]
        y_BTcHW[:, :-1] += after * a_BTcHW[:, 1:]
        return y_BTcHW

    def _check(self, x_BTcHW: Tensor) -> None:
        check_clip(x_BTcHW, self.channels)
        if x_BTcHW.shape[1] != self.num_frames:
            raise ClipShapeError(
                f"TAM has the number of frames in the shape of its weights: this one was built for T = "
                f"{self.num_frames}, got {x_BTcHW.shape[1]} in {tuple(x_BTcHW.shape)}. Build it anew with "
                f"num_frames={x_BTcHW.shape[1]}; its weights cannot be carried over."
            )

    def extra_repr(self) -> str:
        return f"{self.channels}, num_frames={self.num_frames}"


class AdaptiveGate(Gate):
    """The gate with TAM: without a motion, TAM sees the reduced features as they are."""

    def temporal(self, z_BTcHW: Float[Tensor, "B T c H W"]) -> Float[Tensor, "B T c H W"]:
        if isinstance(self.motion, nn.Identity) and self.attention is not None:
            return self.attention(z_BTcHW)
        return super().temporal(z_BTcHW)


def _build_attention(*, channels: int, num_frames: int, **_: object) -> nn.Module:
    return TemporalAdaptive(channels, num_frames)


def _build_whole(*, channels: int, num_frames: int, beta: int = 4, **_: object) -> nn.Module:
    return TemporalAdaptive(channels, num_frames, beta=beta)


_PAPER = "Liu et al.: TAM, section 3"
register_part(
    PartInfo(
        name="tam",
        kind="attention",
        summary="TAM: a convolution over time with a kernel made from the clip. Bound to one number of frames.",
        paper=_PAPER,
        build=_build_attention,
        gate=AdaptiveGate,
        fixes_num_frames=True,
    )
)
register_shorthand(
    Shorthand(
        name="tam",
        motion="none",
        attention="tam",
        summary="A convolution over time with a kernel made from the clip gates the features.",
    )
)
register_part(
    PartInfo(
        name="tanet",
        kind="whole",
        summary="TAM on all channels and without a gate, as its authors have it in front of conv2.",
        paper=_PAPER,
        build=_build_whole,
        options=frozenset({"beta"}),
        fixes_num_frames=True,
    )
)
