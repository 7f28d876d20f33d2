"""Memory of a model and of its work, in bytes that torch's allocator gave out.

The growth of a process is no measure of it: the operating system counts pages that were given back, libraries, and
what ran before. On a GPU torch counts itself; on a CPU the profiler records every block that the allocator gives out
and takes back. Scratch memory that oneDNN, cuDNN and the like take for themselves is in neither.

What a forward pass keeps for its backward pass is counted as what is still allocated between the two. Hooks on saved
tensors see only what goes through them: not what a function of Python keeps by itself, nor what is saved inside other
such hooks.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import accumulate, chain

import torch
from torch import Tensor, nn
from torch.autograd.profiler import profile

from m2a.measurement.timing import Run, synchronize


def counted_by(device: str | torch.device) -> str:
    """Where the bytes come from, in words."""
    if torch.device(device).type == "cuda":
        return "torch.cuda.max_memory_allocated and memory_allocated"
    return "blocks of torch's CPU allocator, as torch.profiler records them; not the process's memory"


def held_bytes(model: nn.Module, *tensors: Tensor, optimizer: torch.optim.Optimizer | None = None) -> int:
    """Bytes that are there between two steps: parameters, buffers, `tensors`, and what the optimizer keeps.
    Gradients are not counted; a step makes them anew. Storage that is shared counts once."""
    kept = chain(model.parameters(), model.buffers(), tensors)
    if optimizer is not None:
        states = (value for state in optimizer.state.values() for value in state.values())
        kept = chain(kept, (value for value in states if isinstance(value, Tensor)))
    return sum(_storages(kept).values())


def saved_bytes(forward: Callable[[], Tensor], device: str | torch.device = "cpu") -> int:
    """Bytes that a forward pass leaves allocated for its backward pass. What was there before (parameters, buffers,
    the clips) and the loss itself are not counted.

    Args:
        forward: runs the forward pass and returns the loss. No backward pass is made of it.
    """
    if torch.device(device).type == "cuda":
        gc.collect()
        before = torch.cuda.memory_allocated(device)
        loss = forward()
        synchronize(device)
        return torch.cuda.memory_allocated(device) - before - loss.untyped_storage().nbytes()
    kept: list[Tensor] = []
    return sum(_blocks(lambda: kept.append(forward()))) - kept[0].untyped_storage().nbytes()


def peak_growth(run: Run, device: str | torch.device = "cpu") -> int:
    """The most bytes that `run` has at one time on the device beyond those that were there before."""
    if torch.device(device).type == "cuda":
        gc.collect()
        synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    return max(accumulate(_blocks(run)), default=0)


def _blocks(run: Run) -> list[int]:
    """Sizes of the blocks that the CPU allocator gives out while `run` is at work, below zero those that it takes
    back, in the order of time."""
    gc.disable()  # what the run leaves in cycles stays young, and is found without looking at everything
    try:
        with _quiet_profiler(), profile(profile_memory=True) as profiler:
            run()
            gc.collect(0)
    finally:
        gc.enable()
    assert profiler.kineto_results is not None
    blocks = [event for event in profiler.kineto_results.events() if event.name() == "[memory]"]
    return [block.nbytes() for block in sorted(blocks, key=lambda event: event.start_ns())]


def _storages(tensors: Iterable[Tensor]) -> dict[int, int]:
    """Address and bytes of each storage."""
    found = (tensor.untyped_storage() for tensor in tensors)
    return {storage.data_ptr(): storage.nbytes() for storage in found}


@contextmanager
def _quiet_profiler() -> Iterator[None]:
    """The profiler's library writes to stderr about GPUs that are not there, unless it is told not to when it
    starts."""
    name = "KINETO_LOG_LEVEL"
    before = os.environ.get(name)
    os.environ.setdefault(name, "6")
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
