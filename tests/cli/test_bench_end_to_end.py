"""`m2a bench end-to-end`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from command import Outcome


def test_the_command(m2a: Callable[..., Outcome], video_set: Path, tmp_path: Path) -> None:
    flags = ("--backbone", "test_resnet", "--size", 32, "--num-frames", 3, "--batch-size", 2, "--workers", 0)
    file = tmp_path / "new" / "whole.json"
    outcome = m2a("bench", "end-to-end", video_set, *flags, "--clips", 3, "--threads", 1, "--repeats", 1, "--out", file)
    assert outcome.code == 0, outcome.err
    assert "reading alone" in " ".join(outcome.out.split())
    content = json.loads(file.read_text())
    assert (content["kind"], content["job"], content["clips"], content["threads"]) == ("end to end", "predict", 3, 1)
    assert content["command"] == (
        f"m2a bench end-to-end {video_set.name} --job predict --clips 3 --backbone test_resnet --size 32 "
        "--num-frames 3 --batch-size 2 --workers 0 --threads 1 --repeats 1"
    )
    assert "--threads must be at least 1" in m2a("bench", "end-to-end", video_set, "--threads", 0).message
