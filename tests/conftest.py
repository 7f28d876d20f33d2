"""What holds in every test: one thread, and the same numbers each time."""

from __future__ import annotations

from collections.abc import Iterator

import jaxtyping
import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def as_users_run_it() -> Iterator[None]:
    """Without the shape checks that only tests have: they come before our own errors, and cannot be compiled."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
