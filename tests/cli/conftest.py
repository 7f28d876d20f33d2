"""A tiny set on disk and a run trained on it by the command line, shared by the tests of the commands."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Outcome, draw, run_command, tiny


@pytest.fixture(scope="session")
def m2a() -> Callable[..., Outcome]:
    return run_command


@pytest.fixture(scope="session")
def frames_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Something-Something V1's layout. Not to be changed."""
    return draw(tmp_path_factory.mktemp("sets") / "frames", "something-something-v1")


@pytest.fixture(scope="session")
def video_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos in class folders. Not to be changed."""
    return draw(tmp_path_factory.mktemp("sets") / "videos", "class-folders")


@pytest.fixture
def own_frames(frames_set: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return shutil.copytree(frames_set, tmp_path / "frames")


@pytest.fixture
def own_videos(video_set: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return shutil.copytree(video_set, tmp_path / "videos")


@pytest.fixture(scope="session")
def trained(video_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run. Not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    outcome = run_command("train", "--data", video_set, "--out", folder, *tiny())
    assert outcome.code == 0, outcome.err
    return folder
