"""What several of these tests look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from m2a.data.synthetic import synthesize


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """37 frames, 12 a second."""
    root = tmp_path_factory.mktemp("set")
    synthesize(
        root, layout="class-folders", classes=2, num_train=2, num_validation=2, size=24, num_frames=37, workers=1,
        progress=False,
    )  # fmt: skip
    return next(root.rglob("*.mp4"))
