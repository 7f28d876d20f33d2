"""What holds in every test: one thread, and the same numbers each time."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator

import pytest
import torch

from shape_checks import without_shape_checks

torch.set_num_threads(1)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a suite in the background of a script; its children inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """The garbage collector looks no more through all that was imported, else small tests take a fifth longer."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def as_users_run_it() -> Iterator[None]:
    """Without the shape checks that only tests have."""
    with without_shape_checks():
        yield
