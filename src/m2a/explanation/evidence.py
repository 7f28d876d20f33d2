"""What a mechanism makes of a clip at each of its sites: attention over frames, energy of the motion, the gate.

Observed from outside, by a hook that keeps what goes into each gate: the parts are then run once more and written out,
where the forward pass of M2A never has an attention matrix or a difference in its hands (see `mechanisms/m2a.py`).

Shapes: B clips (one), T frames that are left at the site, C channels, c reduced ones, h, w of the maps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from m2a.insertion.insert import mechanisms_of
from m2a.mechanisms import (
    FrameAttention,
    FrameDifference,
    Gate,
    IdentityStart,
    MotionExcitation,
    PatchAttention,
    TemporalAdaptive,
    TemporalDifference,
    TemporalShift,
    TimedFrameAttention,
)
from m2a.mechanisms.catalogue import shorthands
from m2a.mechanisms.patch import PatchGate

_MOTIONS = {nn.Identity: "none", FrameDifference: "m2a", MotionExcitation: "tea", TemporalDifference: "tdn"}


@dataclass(frozen=True, kw_only=True, eq=False)
class SiteEvidence:
    """One mechanism at one site; of a stack (`m2a+tsm`) there is one for each part. What a mechanism does not have is
    None."""

    name: str
    """Of the layer in the backbone, as `InsertionReport.sites` has it."""
    mechanism: str
    """Its spec: "m2a", "tea:m2a"."""
    attention: NDArray[np.float32] | None = None
    """(T, T) softmax weights: row t says how much of each frame goes into frame t; rows sum to 1."""
    motion_energy: NDArray[np.float32] | None = None
    """(T, h, w): the mean over reduced channels of the squared motion, as the mechanism computes it. With an attention,
    of features that were normalised before."""
    gate: NDArray[np.float32] | None = None
    """(T, h, w): the mean over channels of the gate, 0 to 1 (of a gate that started as the identity -1/2 to 1/2, of
    `m2a-plus` -2 to 2): what is added to the features, as a share of them."""
    boundary: str | None = None
    """Of M2A's motion, what stands beyond the clip: "wrap", "zero" or "replicate"; None of another motion."""
    looks_back: bool = False
    """Whether M2A's motion is that since the frame before, and not that to the next (`direction="unidirectional"`)."""

    @property
    def absent(self) -> tuple[str, ...]:
        """What this mechanism does not have, of "attention", "motion_energy" and "gate"."""
        return tuple(name for name in ("attention", "motion_energy", "gate") if getattr(self, name) is None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: the attention whole, of maps the mean and the largest value of each frame."""
        return {
            "name": self.name,
            "mechanism": self.mechanism,
            "attention": None if self.attention is None else self.attention.tolist(),
            "motion_energy": summary(self.motion_energy),
            "gate": summary(self.gate),
        }


def summary(maps: NDArray[Any] | None) -> dict[str, Any] | None:
    """Of maps (T, h, w): their size; each frame's mean and largest value and where that is, [row, column]."""
    if maps is None:
        return None
    flat = maps.reshape(len(maps), -1)
    places = [np.unravel_index(int(index), maps.shape[1:]) for index in flat.argmax(1)]
    return {
        "size": list(maps.shape[1:]),
        "mean": flat.mean(1).tolist(),
        "max": flat.max(1).tolist(),
        "peak": [[int(row), int(column)] for row, column in places],
    }


@contextmanager
def observed(backbone: nn.Module) -> Iterator[list[tuple[str, nn.Module, Tensor]]]:
    """While it is open, keeps what goes into each mechanism of the backbone: the site's name, the mechanism, its input
    (B, T, C, H, W); of a stack, each part by itself. "none" is left out."""
    seen: list[tuple[str, nn.Module, Tensor]] = []
    handles = []

    def keeper(name: str) -> Any:
        def keep(part: nn.Module, args: tuple[Tensor, ...]) -> None:
            if torch.is_grad_enabled():  # else it is the backward pass, which makes results again
                seen.append((name, part, args[0].detach()))

        return keep

    try:
        for site, mechanism in mechanisms_of(backbone):
            for part in mechanism if isinstance(mechanism, nn.Sequential) else [mechanism]:
                if not isinstance(part, nn.Identity):
                    handles.append(part.register_forward_pre_hook(keeper(site)))
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def evidence(seen: Sequence[tuple[str, nn.Module, Tensor]]) -> tuple[SiteEvidence, ...]:
    """Of what `observed` kept, in the order of the pass."""
    found = []
    for name, part, x_BTCHW in seen:
        inner = part.inner if isinstance(part, IdentityStart) else part
        parts = look_into(inner, x_BTCHW) if isinstance(inner, Gate) else {}
        told: dict[str, Any] = {k: np.ascontiguousarray(v[0].float().cpu().numpy()) for k, v in parts.items()}
        if isinstance(inner, Gate) and isinstance(inner.motion, FrameDifference):
            told |= {"boundary": inner.motion.boundary, "looks_back": inner.motion.direction == "unidirectional"}
        found.append(SiteEvidence(name=name, mechanism=spec_of(inner), **told))
    return tuple(found)


def look_into(gate: Gate, x_BTCHW: Tensor) -> dict[str, Tensor]:
    """What there is of `attention` (B, T, T), `motion_energy` and `gate` (B, T, h, w) in a gate given `x`."""
    frames = x_BTCHW.shape[:2]
    z_BTcHW = gate.reduce(x_BTCHW.flatten(0, 1)).unflatten(0, frames)
    found: dict[str, Tensor] = {}
    moved_BTcHW = _moved(gate, z_BTcHW)
    if not isinstance(gate.motion, nn.Identity):
        found["motion_energy"] = moved_BTcHW.square().mean(2)
    if isinstance(gate.attention, FrameAttention):
        tokens_BTD = moved_BTcHW.flatten(2)
        found["attention"] = gate.attention.weights(tokens_BTD @ tokens_BTD.mT / tokens_BTD.shape[-1] ** 0.5)
    opened_NCHW = gate.span * (_wide(gate.expand(gate.temporal(z_BTcHW).flatten(0, 1))).sigmoid() - gate.centre)
    found["gate"] = opened_NCHW.mean(1).unflatten(0, frames)
    return found


def _moved(gate: Gate, z_BTcHW: Tensor) -> Tensor:
    """The motion as the gate takes it, in float32 or wider: of normalised features where there is an attention."""
    wide_BTcHW = _wide(z_BTcHW)
    if isinstance(gate, PatchGate):
        tokens = gate.attention.cut(wide_BTcHW)
        wide_BTcHW = gate.attention.join(F.layer_norm(tokens, tokens.shape[-1:]), like=wide_BTcHW)
    elif gate.attention is not None:
        wide_BTcHW = F.layer_norm(wide_BTcHW, wide_BTcHW.shape[2:])
    if isinstance(gate.motion, FrameDifference | nn.Identity):
        return gate.motion(wide_BTcHW)
    return gate.motion(wide_BTcHW.to(z_BTcHW.dtype)).to(wide_BTcHW.dtype)


def _wide(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


def spec_of(part: nn.Module) -> str:
    """The spec of one mechanism, by what it is made of; the name of its class for one that is none of the
    catalogue's."""
    if isinstance(part, TemporalShift):
        return "tsm"
    if isinstance(part, TemporalAdaptive):
        return "tanet"
    if not isinstance(part, Gate):
        return type(part).__name__
    motion = _MOTIONS.get(type(part.motion), type(part.motion).__name__)
    attention = _attention_of(part.attention)
    names = (short.name for short in shorthands().values() if (short.motion, short.attention) == (motion, attention))
    return next(names, f"{motion}:{attention}")


def _attention_of(attention: nn.Module | None) -> str:
    match attention:
        case None:
            return "none"
        case TimedFrameAttention():
            return "m2a-plus"
        case FrameAttention():
            return "m2a"
        case TemporalAdaptive():
            return "tam"
        case PatchAttention():
            return f"patch{attention.patch}"
        case _:
            return type(attention).__name__
