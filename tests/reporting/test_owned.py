"""Where results may not be written: told before anything is measured."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from m2a.errors import ConfigError
from m2a.reporting.owned import check_replaceable
from permissions import allowed


@pytest.fixture
def run() -> Iterator[Path]:
    """A run's folder that others may look into, which pytest's are not."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        (Path(folder) / "run").mkdir(mode=0o755)
        (Path(folder) / "run" / "evaluation.json").write_text("{}")
        yield Path(folder) / "run"


def test_a_run_on_a_disk_that_may_only_be_read(run: Path) -> None:
    check_replaceable(run)
    evaluation = run / "evaluation.json"
    with allowed(0o444, evaluation), pytest.raises(ConfigError, match=r"evaluation\.json cannot .*write .*--out"):
        check_replaceable(run)
    evaluation.unlink()
    with allowed(0o555, run), pytest.raises(ConfigError, match=r"run/evaluation\.json cannot .*may not .*run\. N"):
        check_replaceable(run)
