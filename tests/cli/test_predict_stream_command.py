"""`m2a predict --stream`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import LABELS, Outcome

from m2a.models import create_model

Command = Callable[..., Outcome]


def test_predict_as_the_frames_come_in(m2a: Command, trained: Path, video_set: Path, tmp_path: Path) -> None:
    video, model = next(video_set.rglob("*.mp4")), tmp_path / "model"
    options: dict[str, Any] = {"mechanism": "tsm", "direction": "unidirectional", "num_frames": 3, "size": 24}
    create_model("test_resnet", num_classes=2, labels=LABELS[:2], **options).save_pretrained(model)
    flags = ("--model", model, "--stream", "--window", 0.3)
    outcome = m2a("predict", video, *flags, "--top-k", 1, "--picture", tmp_path / "line.png", "--json")
    assert outcome.code == 0, outcome.err
    timeline = json.loads(outcome.out)[0]
    assert timeline["windows"][0]["start"] == pytest.approx(0.05)
    assert {len(window["top"]) for window in timeline["windows"]} == {1}
    assert timeline["intervals"][-1]["end"] == timeline["seconds"]
    assert (tmp_path / "line.png").stat().st_size > 1000
    for more, told in (
        (("--sliding",), "give one of them"),
        (("--bf16",), "leave --bf16 out"),
        (("--step", 1), "leave --step out"),
        (("--num-clips", 3), "leave --num-clips, --num-crops and --workers out"),
    ):
        assert told in m2a("predict", video, *flags, *more).message
    assert "looks at frames that come later" in m2a("predict", video, "--model", trained, "--stream").message


@pytest.mark.usefixtures("as_users_run_it")
def test_files(m2a: Command, video_set: Path, tmp_path: Path) -> None:
    """Of one step, which says what the model says; and of clips, which is refused."""
    model, step, file = tmp_path / "model", tmp_path / "step.pt2", tmp_path / "model.pt2"
    options: dict[str, Any] = {"mechanism": "none", "num_frames": 3, "size": 24, "labels": LABELS[:2]}
    create_model("test_resnet", num_classes=2, **options).save_pretrained(model)
    assert m2a("export", model, "--out", file).code == 0
    assert m2a("export", model, "--out", step, "--stream").code == 0
    video = next(video_set.rglob("*.mp4"))
    ours, theirs = (m2a("predict", video, "--model", one, "--stream", "--json") for one in (step, model))
    assert ours.code == 0, ours.err
    (said,), (expected,) = json.loads(ours.out), json.loads(theirs.out)
    assert len(said["windows"]) == len(expected["windows"])
    for one, other in zip(said["windows"], expected["windows"], strict=True):
        (best, *_), (guess, *_) = one["top"], other["top"]
        assert best["probability"] == pytest.approx(guess["probability"], abs=1e-5)
    outcome = m2a("predict", video, "--model", file, "--stream")
    assert "model.pt2 takes clips, and a stream gives frames" in outcome.message
