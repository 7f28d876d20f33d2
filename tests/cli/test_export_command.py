"""`m2a export`: from a run to a file that answers as `m2a predict` does."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from command import Outcome, run_command

from m2a.data import open_clip
from m2a.models import create_model, load
from m2a.reporting.owned import check_ours
from shape_checks import without_shape_checks

Command = Callable[..., Outcome]


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that the trained run's model was exported to. Not to be changed."""
    file = tmp_path_factory.mktemp("exported") / "model.pt2"
    with without_shape_checks():
        outcome = run_command("export", trained, "--out", file)
    assert outcome.code == 0, outcome.err
    return file


@pytest.mark.usefixtures("as_users_run_it")
def test_it_answers_as_predict_does(m2a: Command, trained: Path, video_set: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    outcome = m2a("export", trained, "--out", file, "--json")
    assert outcome.code == 0, outcome.err
    check_ours(file)  # it may be replaced
    told = json.loads(outcome.out)
    assert (told["file"], told["size"], told["model"]) == (str(file), file.stat().st_size, str(trained))
    video = next(video_set.rglob("*.mp4"))
    session = onnxruntime.InferenceSession(file)
    about = json.loads(session.get_modelmeta().custom_metadata_map["m2a"])
    how = load(str(trained)).preprocessing
    assert about["model"]["mechanism"] == "m2a"
    assert told["clips"] == [None, about["clips"]["num_frames"], 3, about["clips"]["size"], about["clips"]["size"]]
    with open_clip(video) as clip:
        frames = how.test_transform(clip.read(how.sample_test(clip.num_frames)))
    (found,) = session.run(None, {"clips": frames[None].numpy()})
    (answer,) = json.loads(m2a("predict", video, "--model", trained, "--top-k", 99, "--json").out)
    expected = {guess["label"]: guess["probability"] for guess in answer["top"]}
    assert about["class_names"] == list(load(str(trained)).labels or ())
    np.testing.assert_allclose(found[0], [expected[name] for name in about["class_names"]], atol=1e-4)


@pytest.mark.usefixtures("as_users_run_it")
def test_the_file_in_the_models_place(
    m2a: Command, trained: Path, exported: Path, video_set: Path, tmp_path: Path
) -> None:
    file, videos = exported, sorted(video_set.rglob("*.mp4"))[:3]
    outcome = m2a("predict", *videos, "--model", file, "--json")
    assert outcome.code == 0, outcome.err
    for found, expected in zip(
        json.loads(outcome.out), json.loads(m2a("predict", *videos, "--model", trained, "--json").out), strict=True
    ):
        assert (found["path"], found["top"][0]["label"]) == (expected["path"], expected["top"][0]["label"])
        assert found["top"][0]["probability"] == pytest.approx(expected["top"][0]["probability"], abs=1e-4)
    outcome = m2a("evaluate", file, "--data", video_set, "--out", tmp_path / "evaluated", "--json")
    assert outcome.code == 0, outcome.err
    found, expected = json.loads(outcome.out), json.loads((trained / "evaluation.json").read_text())
    same = ("mechanism", "backbone", "inflate", "num_frames", "size", "labels", "num_clips", "top1", "confusion")
    assert {name: found[name] for name in same} == {name: expected[name] for name in same}
    assert (found["model"], found["macs"], found["parameters"]) == (str(file), None, None)
    assert found["exported"]["run_by"].startswith("torch ")
    assert found["exported"]["sha256"] == sha256(file.read_bytes()).hexdigest()
    outcome = m2a("compare", trained, tmp_path / "evaluated", "--out", tmp_path / "comparison.png")
    assert outcome.code == 0, outcome.err


@pytest.mark.usefixtures("as_users_run_it")
def test_where_a_file_will_not_do(m2a: Command, exported: Path, video_set: Path, tmp_path: Path) -> None:
    file, video = exported, next(video_set.rglob("*.mp4"))
    outcome = m2a("explain", video, "--model", file, "--out", tmp_path / "picture.png")
    assert (outcome.code, "is a file. A saved model is a folder" in outcome.message) == (1, True)
    assert "for m2a predict and m2a evaluate" in outcome.message
    for flags in (
        ("predict", video, "--model", file),
        ("evaluate", file, "--data", video_set, "--out", tmp_path / "e"),
    ):
        outcome = m2a(*flags, "--device", "cuda")
        assert (outcome.code, "leave device='cuda' (--device) out" in outcome.message) == (1, True)
    outcome = m2a("predict", video, "--model", tmp_path / "nothing.onnx")
    assert (outcome.code, "There is no file" in outcome.message) == (1, True)
    (tmp_path / "text.pt2").write_text("hello")
    outcome = m2a("predict", video, "--model", tmp_path / "text.pt2")
    assert (outcome.code, "text.pt2 cannot be read by torch" in outcome.message) == (1, True)
    assert "Traceback" not in outcome.err
    outcome = m2a("evaluate", file)
    assert (outcome.code, "does not know its data. Name it with --data" in outcome.message) == (1, True)


@pytest.mark.usefixtures("as_users_run_it")
def test_what_it_prints(m2a: Command, trained: Path, tmp_path: Path) -> None:
    outcome = m2a("export", trained, "--out", tmp_path / "model.pt2", "--batch-size", 1)
    assert outcome.code == 0, outcome.err
    first, takes, gives, checked = outcome.out.splitlines()
    assert first.startswith(f"written: {tmp_path / 'model.pt2'}, ")
    assert takes.startswith("  takes clips: uint8 (1, ")
    assert gives.startswith("  gives probabilities: float32 (1, ")
    assert checked.startswith("  run by torch ")
    assert m2a("export", trained, "--out", tmp_path / "model.pt2").code == 0  # its own


@pytest.mark.usefixtures("as_users_run_it")
def test_a_stream(m2a: Command, trained: Path, video_set: Path, tmp_path: Path) -> None:
    network = create_model(
        "test_resnet", mechanism="tsm", direction="unidirectional", num_classes=3, num_frames=3, size=32
    )
    network.save_pretrained(tmp_path / "model")
    outcome = m2a("export", tmp_path / "model", "--out", tmp_path / "step.pt2", "--stream")
    assert outcome.code == 0, outcome.err
    first, takes, memory, gives, checked = outcome.out.splitlines()
    assert first.startswith(f"written: {tmp_path / 'step.pt2'}, ")
    assert takes == "  takes frames: uint8 (1, 3, 32, 32), 0 to 255 of RGB, not normalised"
    assert memory.startswith("  takes memory_0 ... memory_")
    assert gives.startswith("  gives probabilities: float32 (1, 3), and next_memory_0 ... ")
    assert checked.startswith("  run by torch ")
    told = json.loads(m2a("export", tmp_path / "model", "--out", tmp_path / "step.pt2", "--stream", "--json").out)
    assert told["memory"]["memory_0"] == [1, 3, 3]
    refused = m2a("predict", next(video_set.rglob("*.mp4")), "--model", tmp_path / "step.pt2")
    assert refused.code == 1
    assert "is one step of a stream (m2a export --stream)" in refused.message
    refused = m2a("export", trained, "--out", tmp_path / "other.pt2", "--stream")
    assert refused.code == 1
    assert "m2a at 'layer1.0.conv1' looks at frames that come later" in refused.message


@pytest.mark.parametrize("name", ["model.onnx", "model.pt2"])
def test_a_file_of_somebody_elses_stays(m2a: Command, trained: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    outcome = m2a("export", trained, "--out", tmp_path / name)
    assert outcome.code == 1
    assert "was not written by m2a; nothing is overwritten. Name another file with --out." in outcome.message
    assert (tmp_path / name).read_text() == "mine"


def test_what_it_refuses(m2a: Command, tmp_path: Path) -> None:
    outcome = m2a("export", tmp_path / "nothing", "--out", tmp_path / "model.pt2")
    assert (outcome.code, outcome.message.startswith("error: There is no folder")) == (1, True)
    outcome = m2a("export", tmp_path / "nothing", "--out", tmp_path / "model.tflite")
    assert (outcome.code, "suffix says what is written: .onnx or .pt2" in outcome.message) == (1, True)
