"""M2A: motion aware attention (Gebotys, Wong, Clausi, "M2A: Motion Aware Attention for Accurate Video Action
Recognition", section III).

    n_t = layer_norm(z_t)                       over each frame's (c, H, W), no weights
    m_t = n_{t+1} - n_t                         motion
    a   = softmax(m m' / sqrt(D)) m             attention over the T frames, D = c * H * W
    y   = a + z                                 and the gate of `gate.py` around it

Everything above is a mix of frames, so `MotionAttention` computes it as one T x T matrix. With mu_t, sigma_t the mean
and deviation of frame t, centred frames c_t = z_t - mu_t, G = c c' their Gram matrix (sigma_t^2 = G_tt / D), Delta the
difference matrix (shift - I) and P = Delta diag(1 / sigma):

    y = z + softmax(P G P' / sqrt(D)) P c

which reads the activation twice instead of about ten times. `tests/reference/m2a.py` is the literal version.

`inner_skip` changes the last line, to see what it is for (not in the paper): "none" is y = a, and "learned" is
y = a + s z with a weight s for each of the c channels, which starts at zero.

Differs from the released code in: the boundary. The paper's text wraps (the last frame's successor is the first frame:
`boundary="wrap"`, the default); the released code pads with zeros (`boundary="zero"`). Neither's is `"replicate"`: the
last frame is its own successor, and its motion is zero.

`direction="unidirectional"` (not in the paper) looks back alone, so that a frame of a stream is answered before the
next one is there: m_t = n_t - n_{t-1}, and frame t attends over the motions up to its own. Nothing can wrap around
there. Before the first frame stands that frame itself ("replicate", then the default), so that a clip that begins and a
scene that has stood still are the same to the motion; or zeros ("zero").
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from m2a.errors import SpecError
from m2a.mechanisms.catalogue import PartInfo, Shorthand, register_part, register_shorthand
from m2a.mechanisms.direction import Direction, check_direction
from m2a.mechanisms.gate import Gate

Boundary = Literal["wrap", "zero", "replicate"]
InnerSkip = Literal["add", "learned", "none"]
_PAPER = "Gebotys, Wong, Clausi: M2A, section III"
_EPS = 1e-5  # of torch's layer_norm, which the released code calls


class FrameDifference(nn.Module):
    """Each frame's successor minus the frame, (B, T, c, H, W) -> the same; with `direction="unidirectional"` the frame
    minus its predecessor. Source: paper, section III, motion.

    `boundary` says what the last frame's successor is, or the first one's predecessor; None is "wrap", the paper's, and
    "replicate" where frames look back alone.

    Raises SpecError for another boundary or direction, and where a stream would wrap around.
    """

    def __init__(self, *, boundary: Boundary | None = None, direction: Direction = "bidirectional"):
        super().__init__()
        check_direction(direction)
        looks_back = direction == "unidirectional"
        if boundary is None:
            boundary = "replicate" if looks_back else "wrap"
        if boundary not in get_args(Boundary):
            raise SpecError(
                f"boundary={boundary!r} is not known. 'wrap' (the paper's text) makes the first frame the last one's "
                "successor; 'zero' (the released code) makes it zeros; with 'replicate' it is the last frame itself."
            )
        if looks_back and boundary == "wrap":
            raise SpecError(
                "boundary='wrap' has the last frame before the first, which direction='unidirectional' cannot look at. "
                "Take 'replicate', the first frame itself, or 'zero'."
            )
        self.boundary = boundary
        self.direction = direction

    def forward(self, x_BTcHW: Float[Tensor, "B T c H W"]) -> Float[Tensor, "B T c H W"]:
        if self.direction == "unidirectional":
            return x_BTcHW - torch.cat([beyond(x_BTcHW[:, :1], self.boundary), x_BTcHW[:, :-1]], dim=1)
        last = x_BTcHW[:, :1] if self.boundary == "wrap" else beyond(x_BTcHW[:, -1:], self.boundary)
        return torch.cat([x_BTcHW[:, 1:], last], dim=1) - x_BTcHW

    def matrix(self, num_frames: int, *, device: torch.device, dtype: torch.dtype) -> Float[Tensor, "T T"]:
        """Delta = shift - I, for which `forward(x)` is `Delta @ x` over time."""
        key = (num_frames, self.boundary, self.direction, device, dtype)
        if torch.compiler.is_compiling() or torch._C._functorch.peek_interpreter_stack() is not None:
            return _delta(*key)
        if key in _DELTAS:
            return _DELTAS[key]
        with torch.inference_mode(False):  # what is made under it could not be used for training later
            made = _delta(*key)
        if type(made) is Tensor:  # one of a mode that computes nothing (FakeTensorMode) is of no use to others
            _DELTAS[key] = made
        return made

    def extra_repr(self) -> str:
        return f"boundary={self.boundary!r}{_told(self.direction)}"


def beyond(edge: Tensor, boundary: Boundary) -> Tensor:
    """What stands beside a clip's first or last frame: itself ("replicate"), or zeros."""
    return edge if boundary == "replicate" else torch.zeros_like(edge)


_DELTAS: dict[Any, Tensor] = {}  # a few dozen numbers each, and seven small operations to make them at every site


def _delta(
    num_frames: int, boundary: Boundary, direction: Direction, device: torch.device, dtype: torch.dtype
) -> Float[Tensor, "T T"]:
    identity = torch.eye(num_frames, device=device, dtype=dtype)
    shift = identity.roll(1, dims=1)
    if boundary != "wrap":
        is_last = (torch.arange(num_frames, device=device) == num_frames - 1).to(dtype)[:, None]
        shift = shift * (1 - is_last) + (identity * is_last if boundary == "replicate" else 0)
    delta = shift - identity
    return -delta.flip(0, 1) if direction == "unidirectional" else delta  # time and sign run the other way


def _told(direction: Direction) -> str:
    return ", direction='unidirectional'" if direction == "unidirectional" else ""


class FrameAttention(nn.Module):
    """Attention of frames over frames, each frame one token of D = c * H * W numbers; queries, keys and values are the
    input itself. Source: paper, section III, attention. (B, T, c, H, W) -> the same. The scores are computed in
    float32 whatever autocast says: a sum over D numbers is too large for half precision.

    `residual` adds the input to the result; M2A has none.

    `inner_skip` says how the gate around it adds the reduced features z to what comes out: "add" as in the paper,
    "none" not at all, "learned" with a weight for each of the c `channels`, zero at first.

    With `direction="unidirectional"` a frame attends over the frames up to itself.
    """

    def __init__(self, *, channels: int, inner_skip: InnerSkip = "add", direction: Direction = "bidirectional"):
        super().__init__()
        check_direction(direction)
        if inner_skip not in get_args(InnerSkip):
            raise SpecError(
                f"inner_skip={inner_skip!r} is not known. 'add' (the paper) adds the reduced features to what the "
                "attention gives, 'none' does not, 'learned' adds them with a weight for each channel."
            )
        self.inner_skip = inner_skip
        self.direction = direction
        self.residual = False
        self.skip_weight = nn.Parameter(torch.zeros(channels)) if inner_skip == "learned" else None

    def skipped(self, z_BTcHW: Float[Tensor, "B T c H W"]) -> Float[Tensor, "B T c H W"] | None:
        """What the gate adds to the attention's result; None is nothing."""
        if self.skip_weight is not None:
            return z_BTcHW * self.skip_weight.to(z_BTcHW.dtype)[:, None, None]
        return z_BTcHW if self.inner_skip == "add" else None

    def extra_repr(self) -> str:
        skip = "" if self.inner_skip == "add" else f"inner_skip={self.inner_skip!r}"
        return (skip + _told(self.direction)).removeprefix(", ")

    def forward(self, x_BTcHW: Float[Tensor, "B T c H W"]) -> Float[Tensor, "B T c H W"]:
        attended_BTcHW = attend(x_BTcHW, x_BTcHW, self.weights)
        return attended_BTcHW + x_BTcHW if self.residual else attended_BTcHW

    def weights(self, scores_BTT: Float[Tensor, "B T T"]) -> Float[Tensor, "B T T"]:
        """The softmax of each frame's scores, of those up to the frame itself where it looks back alone."""
        if self.direction == "unidirectional":
            later_TT = torch.ones_like(scores_BTT[0], dtype=torch.bool).triu(1)
            scores_BTT = scores_BTT.masked_fill(later_TT, -torch.inf)
        return scores_BTT.softmax(-1)


def attend(
    x_BScHW: Float[Tensor, "B S c H W"],
    frames_BTcHW: Float[Tensor, "B T c H W"],
    weights: Callable[[Tensor], Tensor],
) -> Float[Tensor, "B S c H W"]:
    """Frames as queries over frames as keys and values, with `weights` of the scores (B, S, T), which are made in
    float32 or wider."""
    queries_BSD, frames_BTD = x_BScHW.flatten(2), frames_BTcHW.flatten(2)
    with _without_autocast(x_BScHW.device.type):
        wide_BTD = _at_least_float32(frames_BTD)
        weights_BST = weights(_at_least_float32(queries_BSD) @ wide_BTD.mT / wide_BTD.shape[-1] ** 0.5)
    return (weights_BST.to(frames_BTD.dtype) @ frames_BTD).view_as(x_BScHW)


class MotionAttention(Gate):
    """The gate with M2A's attention over a motion that is itself a mix of frames (M2A's difference, or none), as one
    T x T matrix. Statistics, scores and mix are accumulated in float32 whatever autocast says."""

    def temporal(self, z_BTcHW: Float[Tensor, "B T c H W"]) -> Float[Tensor, "B T c H W"]:
        known = type(self.motion) in (FrameDifference, nn.Identity) and isinstance(self.attention, FrameAttention)
        if not known:  # another one was put in their place
            return super().temporal(z_BTcHW)
        flat_BTD = _frames_as_rows(z_BTcHW)
        with _without_autocast(z_BTcHW.device.type):
            wide_BTD = _at_least_float32(flat_BTD)
            centred_BTD = wide_BTD - wide_BTD.mean(-1, keepdim=True)
            matrix_BTT = self.mixing_matrix(centred_BTD)
            if self.inner_skip == "add":
                mixed_BTD = torch.baddbmm(wide_BTD, matrix_BTT, centred_BTD)
            else:
                mixed_BTD = torch.bmm(matrix_BTT, centred_BTD)
        mixed_BTcHW = _rows_as_frames(mixed_BTD.to(z_BTcHW.dtype), like=z_BTcHW)
        return mixed_BTcHW if self.inner_skip == "add" else self.with_skip(mixed_BTcHW, z_BTcHW)

    @property
    def inner_skip(self) -> InnerSkip:
        return self._frames.inner_skip

    @property
    def _frames(self) -> FrameAttention:
        assert isinstance(self.attention, FrameAttention)
        return self.attention

    def mixing_matrix(self, centred_BTD: Float[Tensor, "B T D"]) -> Float[Tensor, "B T T"]:
        """M = softmax(P G P' / sqrt(D)) P for frames that have each zero mean, and P once more where the attention is
        residual: row t tells what frame t adds."""
        num_values = centred_BTD.shape[-1]
        gram_BTT = torch.bmm(centred_BTD, centred_BTD.mT)  # bmm, not @: small matrices, whose calls are what costs
        inverse_sigma_BT = (gram_BTT.diagonal(dim1=-2, dim2=-1) / num_values + _EPS).rsqrt()
        if isinstance(self.motion, FrameDifference):
            delta_TT = self.motion.matrix(int(gram_BTT.shape[-1]), device=gram_BTT.device, dtype=gram_BTT.dtype)
            p_BTT = delta_TT * inverse_sigma_BT[:, None, :]
        else:
            p_BTT = torch.diag_embed(inverse_sigma_BT)
        scores_BTT = torch.bmm(torch.bmm(p_BTT, gram_BTT), p_BTT.mT) / num_values**0.5
        weights_BTT = self._frames.weights(scores_BTT)
        return torch.baddbmm(p_BTT, weights_BTT, p_BTT) if self._frames.residual else torch.bmm(weights_BTT, p_BTT)


def _at_least_float32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _without_autocast(device_type: str) -> AbstractContextManager[object]:
    # is_autocast_available is nothing that the compiler of torch 2.11 sees through: it breaks its graph in two
    known = torch.compiler.is_compiling() or torch.amp.is_autocast_available(device_type)
    if known and torch.is_autocast_enabled(device_type):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()  # the meta device, on which multiply-adds are counted, has none


def _frames_as_rows(z_BTcHW: Tensor) -> Tensor:
    """(B, T, D) with D in the order the memory has it: nothing here depends on that order, and so nothing is copied."""
    if _has_channels_last(z_BTcHW):
        return z_BTcHW.permute(0, 1, 3, 4, 2).flatten(2)
    return z_BTcHW.flatten(2)


def _rows_as_frames(rows_BTD: Tensor, *, like: Tensor) -> Tensor:
    batch, frames, channels, height, width = like.shape
    if _has_channels_last(like):
        return rows_BTD.view(batch, frames, height, width, channels).permute(0, 1, 4, 2, 3)
    return rows_BTD.view(batch, frames, channels, height, width)


def _has_channels_last(z_BTcHW: Tensor) -> bool:
    """In memory; no, where `torch.func` transforms it, whose `vmap` cannot tell."""
    if not torch.compiler.is_compiling() and torch._C._functorch.peek_interpreter_stack() is not None:
        return False
    return z_BTcHW.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)


def _build_difference(
    *, boundary: Boundary | None = None, direction: Direction = "bidirectional", **_: object
) -> nn.Module:
    return FrameDifference(boundary=boundary, direction=direction)


def _build_attention(
    *, channels: int, inner_skip: InnerSkip = "add", direction: Direction = "bidirectional", **_: object
) -> nn.Module:
    return FrameAttention(channels=channels, inner_skip=inner_skip, direction=direction)


def around(channels: int, *, motion: nn.Module, attention: nn.Module, reduction: int) -> Gate:
    """The gate around an attention over frames: as one T x T matrix where the motion is a mix of frames too."""
    shell = MotionAttention if isinstance(motion, FrameDifference | nn.Identity) else Gate
    return shell(channels, motion=motion, attention=attention, reduction=reduction)


register_part(
    PartInfo(
        name="m2a",
        kind="motion",
        summary="Difference of consecutive frames' features.",
        paper=_PAPER,
        build=_build_difference,
        options=frozenset({"boundary", "direction"}),
    )
)
register_part(
    PartInfo(
        name="m2a",
        kind="attention",
        summary="Attention over the T frames, a frame's features one token.",
        paper=_PAPER,
        build=_build_attention,
        gate=around,
        options=frozenset({"direction", "inner_skip"}),
    )
)
register_shorthand(
    Shorthand(name="m2a", motion="m2a", attention="m2a", summary="Attention over frame differences gates the features.")
)
register_shorthand(
    Shorthand(name="m2a-motion", motion="m2a", attention="none", summary="M2A's motion half: differences alone gate.")
)
register_shorthand(
    Shorthand(name="m2a-attention", motion="none", attention="m2a", summary="M2A's attention half: no differences.")
)
