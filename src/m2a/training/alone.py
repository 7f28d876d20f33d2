"""A run is one process on one device, whatever the variables of a scheduler around it say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.utilities import rank_zero


class OneProcess(LightningEnvironment):
    """Lightning reads how many processes there are off the environment: it refuses a job of Slurm's that asked for four
    tasks to have four cores, and takes the only process for one of several where a launcher left `LOCAL_RANK`."""

    def world_size(self) -> int:
        return 1

    def global_rank(self) -> int:
        return 0

    def local_rank(self) -> int:
        return 0

    def node_rank(self) -> int:
        return 0


@contextmanager
def as_the_only_process() -> Iterator[None]:
    """While it is open, this process is the one that writes; Lightning decides that when it is imported."""
    writer: Any = rank_zero.rank_zero_only
    before = getattr(writer, "rank", None)
    writer.rank = 0
    try:
        yield
    finally:
        writer.rank = before
