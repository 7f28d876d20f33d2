"""Which of timm's architectures take a mechanism: each is built, given one at its default sites, run forward and
backward, and given back."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from typing import Any

import timm
import torch
from torch import Tensor, nn

from m2a.errors import M2AError
from m2a.insertion import find_sites, insert, remove

_NUM_FRAMES = 2
_BATCH = 4


@dataclass(frozen=True, kw_only=True)
class Compatibility:
    """What came of one architecture."""

    backbone: str
    family: str
    """timm's module."""
    mechanism: str
    works: bool
    sites: int = 0
    first: str = ""
    """Name of the first site."""
    layouts: tuple[str, ...] = ()
    """Axes at the sites: NCHW, NHWC, or tokens, NLC, with "+1" for a class token and the like."""
    reason: str = ""
    """Why it does not work, and at which step."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"layouts": list(self.layouts)}


def check_backbones(
    names: Iterable[str] | None = None, mechanism: str = "m2a", *, workers: int = 1
) -> Iterator[Compatibility]:
    """Checks each architecture, by default all of timm's, in so many processes; results come in the order of names."""
    names = timm.list_models() if names is None else names
    if workers == 1:
        yield from (check_backbone(name, mechanism) for name in names)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        yield from pool.map(partial(check_backbone, mechanism=mechanism), names)


def _one_thread() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # timm's, about deprecated names


def check_backbone(name: str, mechanism: str = "m2a") -> Compatibility:
    """Builds an architecture of timm, inserts `mechanism` at its default sites, runs it forward and backward, and
    removes it.

    On torch's meta device, that is without data: shapes and gradients' paths are checked, no numbers. An error, of timm
    or of ours, is told in `reason`.
    """
    found: dict[str, Any] = {
        "backbone": name,
        "family": timm.model_entrypoint(name).__module__.rpartition(".")[2],
        "mechanism": mechanism,
    }
    step = "build"
    try:
        with torch.device("meta"):
            network: Any = timm.create_model(name, num_classes=0)
        network.to("meta").eval()
        channels, height, width = network.pretrained_cfg["input_size"]
        images = torch.empty(_BATCH, channels, height, width, device="meta")
        step = "run it without a mechanism"
        before = _shape(network(images))
        step = "insert"
        sites = find_sites(network).sites
        found |= {
            "sites": len(sites),
            "first": sites[0].name,
            "layouts": tuple(sorted({_spelled(site.layout.axes, site.layout.prefix) for site in sites})),
        }
        insert(network, mechanism, num_frames=_NUM_FRAMES)
        step = "run"
        out = network(images)
        if _shape(out) != before:
            return Compatibility(works=False, reason="run: the output has another shape than without", **found)
        step = "train"
        _first(out).sum().backward()
        if without := _without_gradient(network):
            return Compatibility(works=False, reason=f"train: no gradient reaches {without}", **found)
        step = "remove"
        remove(network)
        network(images)
    except M2AError as error:
        return Compatibility(works=False, reason=f"{step}: {error}", **found)
    except Exception as error:  # of timm or torch
        said = (str(error).strip().splitlines() or [""])[0]
        return Compatibility(works=False, reason=f"{step}: {type(error).__name__}: {said}", **found)
    return Compatibility(works=True, **found)


def _spelled(axes: str, prefix: int) -> str:
    return f"{axes}+{prefix}" if prefix else axes


def _first(out: Any) -> Tensor:
    return out if isinstance(out, Tensor) else _first(next(iter(out.values() if isinstance(out, dict) else out)))


def _shape(out: Any) -> torch.Size:
    return _first(out).shape


def _without_gradient(network: nn.Module) -> str:
    """The first parameter of a mechanism that no gradient reaches."""
    own = ((name, p) for name, p in network.named_parameters() if ".mechanism." in name)
    return next((name for name, parameter in own if parameter.grad is None), "")
