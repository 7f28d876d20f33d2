"""How fast M2A could be: the bytes that must move and the multiply-adds at each site, at the rates this machine copies
memory and multiplies matrices with.

A gate whose attention mixes all frames must have seen the whole clip before it gives out anything. So at each site

    read x (for z)   write z   read z (Gram matrix)   read z (mix)   read x   write out

with x and out of C channels and z of c = C / R: 3 C + 3 c numbers a pixel. The mixed y need not be stored, since the
second 1x1 convolution and the gate can be made of it at once. Multiply-adds a pixel: 2 C c of the 1x1 convolutions,
2 T c of the Gram matrix and the mix. The bound is the longer of the two times. Caches are allowed for: the rate of
copying is that of as many bytes as x has, or of a large copy where that is faster.

Shapes: B clips, T frames, C channels, c reduced channels, H, W.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from m2a.measurement.model_speed import BenchSettings, Subject
from m2a.measurement.timing import quantile, seconds_of
from m2a.mechanisms.gate import Gate

_LARGE = {"cpu": 64 * 2**20, "cuda": 2**30}  # more than caches hold
_SIDE = {"cpu": 1024, "cuda": 4096}
_TRIES = 10


@dataclass(frozen=True, kw_only=True)
class SiteBound:
    """One site, of one batch of clips, in inference."""

    site: str
    channels: int
    height: int
    width: int
    moved_bytes: int
    macs: int
    copy_rate: float
    """Bytes a second, read or written."""
    bound_ms: float
    mechanism_ms: float
    """The mechanism there by itself, uncompiled; the median."""


@dataclass(frozen=True, kw_only=True)
class Roofline:
    """The machine's rates, and what they allow at each site."""

    copy_rate: float
    """Bytes a second that a large copy reads or writes."""
    mac_rate: float
    """Multiply-adds a second of a large matrix product, in the precision that was measured."""
    sites: tuple[SiteBound, ...]

    @property
    def bound_ms(self) -> float:
        return sum(site.bound_ms for site in self.sites)

    @property
    def mechanism_ms(self) -> float:
        return sum(site.mechanism_ms for site in self.sites)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"bound_ms": self.bound_ms, "mechanism_ms": self.mechanism_ms}


def measure_roofline(settings: BenchSettings) -> Roofline:
    """The bounds of `m2a` in `settings.backbone`, from shapes that come to its sites when it runs, and the machine's
    rates."""
    plain = BenchSettings(**{**settings.to_dict(), "compile": False})
    subject = Subject("m2a", "inference", plain)
    sites = _sites(subject)
    large = copy_rate(_LARGE[torch.device(settings.device).type], settings.device)
    rate = mac_rate(settings)
    bounds = []
    for name, (gate, features_BTCHW) in sites.items():
        moved, macs = site_cost(features_BTCHW, gate.reduce.out_channels)
        fastest = max(large, copy_rate(features_BTCHW.nbytes, settings.device))
        bounds.append(
            SiteBound(
                site=name,
                channels=features_BTCHW.shape[2],
                height=features_BTCHW.shape[3],
                width=features_BTCHW.shape[4],
                moved_bytes=moved,
                macs=macs,
                copy_rate=fastest,
                bound_ms=1000 * max(moved / fastest, macs / rate),
                mechanism_ms=1000 * quantile(_alone(gate, features_BTCHW, subject), 0.5),
            )
        )
    return Roofline(copy_rate=large, mac_rate=rate, sites=tuple(bounds))


def site_cost(features_BTCHW: Tensor, reduced: int) -> tuple[int, int]:
    """Bytes that must move at a site and its multiply-adds, for features of that shape and type."""
    batch, frames, channels, height, width = features_BTCHW.shape
    places = batch * frames * height * width
    moved = places * (3 * channels + 3 * reduced) * features_BTCHW.element_size()
    return moved, places * reduced * (2 * channels + 2 * frames)


def copy_rate(num_bytes: int, device: str) -> float:
    """Bytes a second, those read and those written, of a copy of so many bytes; the fastest of several."""
    source = torch.ones(max(1, num_bytes // 4), device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / _fastest(lambda: target.copy_(source), device)


def mac_rate(settings: BenchSettings) -> float:
    """Multiply-adds a second of a product of two large square matrices; the fastest of several."""
    side = _SIDE[torch.device(settings.device).type]
    dtype = torch.float32 if settings.precision == "32" else torch.bfloat16
    matrix = torch.ones(side, side, device=settings.device, dtype=dtype)
    return side**3 / _fastest(lambda: matrix @ matrix, settings.device)


def _fastest(run: Callable[[], object], device: str) -> float:
    run()
    return min(seconds_of(run, device) for _ in range(_TRIES))


def _sites(subject: Subject) -> dict[str, tuple[Gate, Tensor]]:
    """The gates by the names of their sites, and what came to each, copied, in one run."""
    found: dict[str, tuple[Gate, Tensor]] = {}
    handles = []
    for name, module in subject.model.named_modules():
        if isinstance(module, Gate):
            site = name.removeprefix("backbone.").removesuffix(".mechanism")

            def keep(gate: nn.Module, args: tuple[Any, ...], site: str = site) -> None:
                assert isinstance(gate, Gate)
                found[site] = (gate, args[0].clone())

            handles.append(module.register_forward_pre_hook(keep))
    try:
        subject()
    finally:
        for handle in handles:
            handle.remove()
    return found


def _alone(gate: Gate, features_BTCHW: Tensor, subject: Subject) -> list[float]:
    def run() -> None:
        with torch.inference_mode(), subject.precision():
            gate(features_BTCHW)

    run()
    return [seconds_of(run, subject.settings.device) for _ in range(_TRIES)]
