"""Clips that many tests read and none changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from clip_files import write_video


@pytest.fixture(scope="session")
def grey_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "grey.mp4")
