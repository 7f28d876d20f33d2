"""Which architectures of timm and torchvision take a mechanism: each is built, given one at its default sites, run
forward and backward, and given back."""

from __future__ import annotations

import fnmatch
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from typing import Any

import timm
import torch
from torch import Tensor, nn

from m2a.ending import end_with_the_parent
from m2a.errors import ConfigError, M2AError
from m2a.insertion import insert, remove
from m2a.measurement.macs import count_parameters
from m2a.mechanisms import list_mechanisms, parse_spec
from m2a.models import list_torchvision
from m2a.models.backbones import TORCHVISION, create_backbone

_NUM_FRAMES = 2
_BATCH = 4


@dataclass(frozen=True, kw_only=True)
class Compatibility:
    """What came of one architecture."""

    backbone: str
    family: str
    """timm's module, or "torchvision"."""
    mechanism: str
    works: bool
    parameters: int = 0
    """Of the network without classifier and mechanism."""
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
    names: Iterable[str] | None = None, mechanisms: str | Sequence[str] = "m2a", *, workers: int = 1
) -> Iterator[Compatibility]:
    """Checks each architecture, by default all of `list_backbones`, with each mechanism, in so many processes; results
    come in the order of mechanisms, and of names for each.

    Raises SpecError for a mechanism that is none, and ConfigError for fewer than one process."""
    names = list_backbones() if names is None else list(names)
    specs = [mechanisms] if isinstance(mechanisms, str) else mechanisms
    if workers < 1:
        raise ConfigError(f"workers must be at least 1; got {workers}.")
    for spec in specs:
        parse_spec(spec)
    cases = [(name, spec) for spec in specs for name in names]
    if workers == 1:
        yield from (check_backbone(*case) for case in cases)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        yield from pool.map(check_backbone, *zip(*cases, strict=True))


def list_backbones(pattern: str = "*") -> list[str]:
    """Names that `create_model` takes: timm's architectures, and torchvision's for classifying images; those that a
    shell pattern matches."""
    return [*timm.list_models(pattern), *fnmatch.filter(list_torchvision(), pattern)]


def every_mechanism() -> list[str]:
    """All that have a name, attention over patches, and a stack."""
    return [*list_mechanisms(), "m2a:patch4", "m2a+tsm"]


def smallest_of_families(rows: Iterable[Compatibility]) -> list[Compatibility]:
    """Of each family the architecture with fewest parameters that has its name from a paper (timm's `test_*` are for
    its tests)."""
    smallest: dict[str, Compatibility] = {}
    for row in rows:
        kept = smallest.get(row.family)
        if kept is None or _rank(row) < _rank(kept):
            smallest[row.family] = row
    return list(smallest.values())


def _rank(row: Compatibility) -> tuple[bool, bool, int, str]:
    return not row.works, row.backbone.startswith("test_"), row.parameters, row.backbone


def _one_thread() -> None:
    end_with_the_parent()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # timm's, about deprecated names


def check_backbone(name: str, mechanism: str = "m2a") -> Compatibility:
    """Builds an architecture of timm or torchvision, inserts `mechanism` at its default sites, runs it forward and
    backward, and removes it.

    On torch's meta device, that is without data: shapes and gradients' paths are checked, no numbers. An error, of timm
    or of ours, is told in `reason`.
    """
    of_torchvision = name.startswith(TORCHVISION)
    family = "torchvision" if of_torchvision else timm.model_entrypoint(name).__module__.rpartition(".")[2]
    found: dict[str, Any] = {"backbone": name, "family": family, "mechanism": mechanism}
    step = "build"
    try:
        network = _without_data(name)
        found["parameters"] = count_parameters(network)
        channels, height, width = network.pretrained_cfg["input_size"]
        images = torch.empty(_BATCH, channels, height, width, device="meta")
        step = "run it without a mechanism"
        before = _shape(network(images))
        step = "insert"
        report = insert(network, mechanism, num_frames=_NUM_FRAMES)
        layouts = tuple(sorted(set(report.layouts)))
        found |= {"sites": len(report.sites), "first": report.sites[0], "layouts": layouts}
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


def _without_data(name: str) -> Any:
    try:
        with torch.device("meta"):
            network = create_backbone(name)
    except NotImplementedError:  # it looks at a number of its own while it is built
        network = create_backbone(name)
    return network.to("meta").eval()


def _first(out: Any) -> Tensor:
    return out if isinstance(out, Tensor) else _first(next(iter(out.values() if isinstance(out, dict) else out)))


def _shape(out: Any) -> torch.Size:
    return _first(out).shape


def _without_gradient(network: nn.Module) -> str:
    """The first parameter of a mechanism that no gradient reaches."""
    own = ((name, p) for name, p in network.named_parameters() if ".mechanism." in name)
    return next((name for name, parameter in own if parameter.grad is None), "")
