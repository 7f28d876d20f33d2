"""Where results may not be written: told before anything is measured."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from m2a.errors import ConfigError
from m2a.reporting.owned import check_replaceable


@pytest.fixture
def run() -> Iterator[Path]:
    """A run's folder that others may look into, which pytest's are not."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        (Path(folder) / "run").mkdir()
        (Path(folder) / "run" / "evaluation.json").write_text("{}")
        yield Path(folder) / "run"


@contextmanager
def as_somebody() -> Iterator[None]:
    """Root, who may write everywhere, as nobody."""
    if os.getuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.mark.skipif(not hasattr(os, "setresuid"), reason="nobody else can be played here")
def test_a_run_on_a_disk_that_may_only_be_read(run: Path) -> None:
    check_replaceable(run)
    (run / "evaluation.json").chmod(0o444)
    run.chmod(0o755)
    with (
        as_somebody(),
        pytest.raises(ConfigError, match=r"evaluation\.json cannot be written: you may not write .*--out"),
    ):
        check_replaceable(run)
    (run / "evaluation.json").unlink()
    run.chmod(0o555)
    with (
        as_somebody(),
        pytest.raises(ConfigError, match=r"run/evaluation\.json cannot be written: you may not .*run\. N"),
    ):
        check_replaceable(run)
