"""`m2a watch`."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest
from command import LABELS, Outcome

from m2a.models import create_model

Command = Callable[..., Outcome]


@pytest.fixture
def camera(video_set: Path, tmp_path: Path) -> Path:
    """A pipe through which a clip of the set comes, four times over."""
    path, content = tmp_path / "camera", tmp_path / "content.ts"
    with av.open(str(content), "w", format="mpegts") as out:
        stream = out.add_stream("mpeg2video", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(4):
            with av.open(str(next(video_set.rglob("*.mp4")))) as container:
                for frame in container.decode(video=0):
                    pixels = frame.reformat(64, 48).to_ndarray(format="rgb24")
                    out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(stream.encode(None))
    os.mkfifo(path)
    threading.Thread(target=lambda: path.write_bytes(content.read_bytes()), daemon=True).start()
    return path


@pytest.fixture
def online(tmp_path: Path) -> Path:
    options: dict[str, Any] = {"mechanism": "m2a", "direction": "unidirectional", "num_frames": 3, "size": 24}
    model = create_model("test_resnet", num_classes=2, labels=LABELS[:2], **options)
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("stream", [True, False])
def test_watching(m2a: Command, camera: Path, online: Path, stream: bool) -> None:
    outcome = m2a("watch", camera, "--model", online, "--window", 0.3, "--json", *["--stream"] * stream)
    assert outcome.code == 0, outcome.err
    answers = [json.loads(line) for line in outcome.out.splitlines()]
    assert answers  # also of windows: the last frames of a clip wait, whatever was left out before
    assert all({guess["label"] for guess in answer["top"]} == {*LABELS[:2]} for answer in answers)
    times = [answer["time"] for answer in answers]
    assert times == sorted(set(times))
    assert f" s of {camera}: " in outcome.message
    assert "frames looked at" in outcome.message


def test_for_people_a_line_a_change(m2a: Command, camera: Path, online: Path) -> None:
    outcome = m2a("watch", camera, "--model", online, "--window", 0.3, "--stream")
    assert outcome.code == 0, outcome.err
    labels = [line.split("%", 1)[1].strip() for line in outcome.out.splitlines()]
    assert labels
    assert all(one != other for one, other in pairwise(labels))
    assert set(labels) <= set(LABELS[:2])


@pytest.mark.usefixtures("as_users_run_it")
def test_what_cannot_be_watched(m2a: Command, video_set: Path, online: Path, tmp_path: Path) -> None:
    ahead = tmp_path / "ahead"
    create_model("test_resnet", num_classes=2, mechanism="m2a", labels=LABELS[:2]).save_pretrained(ahead)
    for words, told in (
        ((next(video_set.rglob("*.mp4")),), "lies on a disk"),
        (("rtsp://127.0.0.1:9/none", "--timeout", 3), "Is it there, and open to this machine?"),
        (("rtsp://here", "--seconds", 0), "--seconds 0 must be above 0"),
        (("rtsp://here", "--window", 0), "window=0.0 must be a finite number"),
        (("rtsp://here", "--model", ahead, "--stream"), "looks at frames that come later"),
    ):
        outcome = m2a("watch", *words, *([] if "--model" in words else ["--model", online]))
        assert outcome.code == 1
        assert told in outcome.message
