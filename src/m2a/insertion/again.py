"""What a layer keeps of a mechanism's result for its backward pass, made again instead of kept.

A layer behind a mechanism keeps its input, the features as the mechanism changed them, although the features
themselves are kept anyway: together twice the memory of the site in a plain network. So the result is made again when
the layer's backward pass asks for it, which costs another forward pass of the mechanism.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from m2a.mechanisms.gating import is_traced

_autograd: Any = torch._C._autograd  # of whose functions the stubs know some; what is asked of it came with torch 2.8
_HOSTS = ("cpu", "meta")  # kinds of device without a generator of their own


class Again:
    """Stands for a tensor: calling it makes the tensor."""

    def __init__(self, make: Callable[[], Tensor]) -> None:
        self.make = make


def can_be_repeated(mechanism: nn.Module, features: Tensor) -> bool:
    """Whether a second pass would change nothing and might give the same result, and whether anything is kept at all.

    Hooks see a pass once and may change its result; buffers are what norms count batches in; and where a graph of CUDA
    is captured the state of random numbers cannot be read. Where somebody else says already how tensors are kept, as
    gradient checkpointing and `save_on_cpu` do, or that they must not be touched, that stands: a context of ours inside
    would take what the layer keeps away from them."""
    if is_traced() or not torch.is_grad_enabled():
        return False
    if not _autograd._saved_tensors_hooks_is_enabled() or _autograd._top_saved_tensors_default_hooks(False) is not None:
        return False
    if any(part._forward_hooks or part._forward_pre_hooks for part in mechanism.modules()):
        return False
    if features.is_cuda and torch.cuda.is_current_stream_capturing():
        return False
    return _tells_random_state(features.device) and not any(True for _ in mechanism.buffers())


def _tells_random_state(device: torch.device) -> bool:
    return device.type in _HOSTS or hasattr(getattr(torch, device.type, None), "get_rng_state")


def random_state(features: Tensor) -> list[Tensor]:
    """Of the generators that operations on the features draw from. A mechanism that moves it, as dropout does, gives
    another result the second time."""
    device = features.device
    if device.type in _HOSTS:
        return [torch.get_rng_state()]
    kind: Any = torch.get_device_module(device)
    of_several = hasattr(kind, "device")  # Apple's GPU is one, and has no context that chooses it
    with kind.device(device) if of_several else nullcontext():
        return [torch.get_rng_state(), kind.get_rng_state()]


def keeping_no(
    result: Tensor, apply: Callable[[Tensor], Tensor], features: Tensor, weights: Iterable[Tensor]
) -> saved_tensors_hooks:
    """A context in which layers keep, instead of `result`, that it is `apply(features)`, which uses `weights`."""
    mark, alive = _mark(result), weakref.ref(result)
    cast = _autocast_now(features.device.type)
    x, version = features.detach(), _version(features)
    used = [(weight, _version(weight)) for weight in weights]

    def make() -> Tensor:
        if any(_version(weight) != then for weight, then in used):
            raise RuntimeError(
                "The weights of a mechanism were changed in place, by a step of the optimizer, say, after a forward "
                "pass whose backward pass needs them as they were. Call backward first."
            )
        if _version(x) != version:  # as torch says where it keeps a tensor itself
            raise RuntimeError(
                "The features in front of a mechanism were changed in place after it had used them, and its backward "
                "pass needs them as they were. Take the operation that is not in place."
            )
        with torch.no_grad(), cast:
            return apply(x)

    def pack(tensor: Tensor) -> Any:
        # of a result that is gone another tensor may have the address: a context can outlive its layer's pass
        return Again(make) if alive() is not None and _mark(tensor) == mark else tensor

    return saved_tensors_hooks(pack, lambda kept: kept.make() if isinstance(kept, Again) else kept)


def _autocast_now(device_type: str) -> AbstractContextManager[object]:
    """The autocast that is on at the moment, for later: in the backward pass it is off."""
    if not torch.amp.is_autocast_available(device_type):  # the meta device
        return nullcontext()
    dtype = torch.get_autocast_dtype(device_type)
    return torch.autocast(device_type, dtype=dtype, enabled=torch.is_autocast_enabled(device_type))


def _mark(tensor: Tensor) -> tuple[Any, ...]:
    """What tells a tensor from others, and from itself changed in place, as long as it lives, without keeping it."""
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, _version(tensor)


def _version(tensor: Tensor) -> int:
    """How often it was changed in place; of tensors of inference mode torch does not know."""
    return 0 if tensor.is_inference() else tensor._version
