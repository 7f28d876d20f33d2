"""How many processes decode, read or draw where nobody says."""

from __future__ import annotations

import os


def num_cores() -> int:
    """Of the processor, those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers() -> int:
    """Decoding processes beside a model: one a core but one, at most 8."""
    return max(1, min(8, num_cores() - 1))
