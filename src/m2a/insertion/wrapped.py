"""Models that something else holds a copy, a plan or a compiled program of: they must be given a mechanism before."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from m2a.errors import WrappedModelError


def check_plain(model: nn.Module) -> None:
    """Raises WrappedModelError when a module put in or taken out now would be missed by a compiler or by what
    synchronises devices, or when the model has no weights yet."""
    for name, module in model.named_modules():
        where = f"its {name!r}" if name else "it"
        match module:
            case DistributedDataParallel() | FullyShardedDataParallel() | FSDPModule():
                reason = f"{where} is wrapped in {_wrapper(module)}, which has made its list of parameters already"
                advice = "Change the plain model first, then wrap it"
            case DataParallel():
                reason = f"{where} is wrapped in DataParallel, which cuts a batch of frames in the middle of a clip"
                advice = "Change the plain model, put it into m2a.VideoClassifier, and wrap that"
            case torch.jit.ScriptModule():
                reason = f"{where} is a {type(module).__name__}, whose program cannot be changed any more"
                advice = (
                    "Change the Python model first, then trace it, or torch.export it; torch.jit.script cannot follow "
                    "mechanisms"
                )
            case _ if _is_compiled(module):
                reason = f"{where} is compiled, and the compiled program would not know of the change"
                advice = "Change the plain model first (a compiled one's is model._orig_mod), then compile"
            case _:
                continue
        raise WrappedModelError(f"This {type(model).__name__} cannot be changed: {reason}. {advice}.")
    tensors = (*model.named_parameters(), *model.named_buffers())
    if lazy := next((name for name, t in tensors if isinstance(t, UninitializedParameter | UninitializedBuffer)), None):
        raise WrappedModelError(
            f"This {type(model).__name__} has lazy layers: {lazy!r} has no shape yet. Run the model once on a batch of "
            "images first."
        )


def check_outside_adapters(model: nn.Module, names: Iterable[str]) -> None:
    """Raises WrappedModelError when a site was found inside a low-rank adapter (LoRA): the sum of a layer and its
    adapter looks like a residual branch, but is one layer."""
    for name in names:
        parts = name.split(".")
        for end in range(1, len(parts)):
            around = ".".join(parts[:end])
            module = model.get_submodule(around)
            if isinstance(getattr(module, "base_layer", None), nn.Module):
                raise WrappedModelError(
                    f"{around!r} of this {type(model).__name__} is wrapped in an adapter, {type(module).__name__}, "
                    "which adds a branch of its own to the layer and was taken for a residual block. Insert into the "
                    "plain model first, then wrap it (a mechanism then stands in front of the layer alone, so merging "
                    f"the adapter is not exact there), or name layers yourself with where=, such as [{around!r}]."
                )


def _wrapper(module: object) -> str:
    return "FSDP (fully_shard)" if isinstance(module, FSDPModule) else type(module).__name__


def _is_compiled(module: nn.Module) -> bool:
    return hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None
