"""The device that a user names, and the one that a model is on."""

from __future__ import annotations

from itertools import chain

import torch
from torch import nn

from m2a.errors import ConfigError, first_line


def pick_device(name: str | torch.device | None = None) -> torch.device:
    """The device of that name, or "gpu", which is cuda or mps; without one, or of "auto", cuda where there is a GPU and
    else cpu.

    Raises ConfigError for a name that torch does not know, and for a device that cannot be used on this machine.
    """
    if name is None or name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(_gpu() if name == "gpu" else name)
    except RuntimeError:
        raise ConfigError(_refusal(name, "torch knows none of that name")) from None
    try:
        torch.ones(1, device=device).add(1).cpu()
    except (RuntimeError, AssertionError, ImportError) as error:  # what torch raises differs from device to device
        raise ConfigError(_refusal(name, first_line(error))) from error
    return device


def _gpu() -> str:
    """As training takes it: mps where there is that and no cuda."""
    return "mps" if torch.backends.mps.is_available() and not torch.cuda.is_available() else "cuda"


def kind_of_input(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """The device and the precision in which a classifier takes clips: those of its linear layer, or where that has no
    parameters, as one that torch quantised has none, of the first that the model has."""
    head = getattr(model, "head", None)
    parameters = chain(head.parameters() if isinstance(head, nn.Module) else (), model.parameters())
    first = next((parameter for parameter in parameters if parameter.is_floating_point()), None)
    return (torch.device("cpu"), torch.float32) if first is None else (first.device, first.dtype)


def _refusal(name: str | torch.device, why: str) -> str:
    there = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    there += ["mps"] if torch.backends.mps.is_available() else []
    return (
        f"device={str(name)!r} cannot be used: {why}. This machine has {', '.join(there)}; name one with --device, or "
        "leave it out. m2a doctor says more."
    )
