"""A step of a stream in a file does what `m2a.Stream` does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from exportable import CLASSES, FRAMES, SIZE, classifier, pixels

import m2a
from m2a.errors import CheckpointError, ClipShapeError, ConfigError
from m2a.export import export_model, export_stream, load_exported, load_stream
from m2a.export.formats import FORMATS

pytestmark = pytest.mark.usefixtures("as_users_run_it")


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_step_by_step(suffix: str, tmp_path: Path) -> None:
    model, streams = classifier("tsm", direction="unidirectional"), 2
    exported = export_stream(model, tmp_path / f"step{suffix}", batch_size=streams)
    assert exported.frames == (streams, 3, SIZE, SIZE)
    assert exported.memory == {
        "memory_0": (streams, FRAMES, CLASSES), "memory_1": (streams,), "memory_2": (streams, 2, SIZE // 2, SIZE // 2)
    }  # fmt: skip
    assert (exported.num_classes, exported.size) == (CLASSES, exported.file.stat().st_size)
    step, stream = FORMATS[suffix].read(exported.file).run, m2a.Stream(model)
    memory = [torch.zeros(shape) for shape in exported.memory.values()]
    frames = torch.cat([pixels(streams), pixels(streams)], dim=1)
    for frame in frames.unbind(1):
        found, *memory = step([frame.contiguous(), *memory])
        torch.testing.assert_close(found, stream.step(frame), atol=1e-5, rtol=1e-3)
    for kept in memory:
        kept[0] = 0  # the first stream begins anew, the second goes on
    found, *_ = step([frames[:, 1].contiguous(), *memory])
    expected = stream.step(frames[:, 1])
    torch.testing.assert_close(found[1], expected[1], atol=1e-5, rtol=1e-3)
    stream.reset()
    torch.testing.assert_close(found[0], stream.step(frames[:, 1])[0], atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".onnx", {"mechanism": "m2a"}),
        (".pt2", {"mechanism": "m2a-motion", "boundary": "zero"}),
        (".onnx", {"mechanism": "m2a-plus+tsm", "time_embedding": False, "padding_mode": "replicate"}),
        (".pt2", {"mechanism": "m2a-plus+tsm", "time_embedding": False, "padding_mode": "replicate"}),
    ],
)
def test_what_looks_back(suffix: str, options: dict[str, Any], tmp_path: Path) -> None:
    """Zeros begin a stream also where the first frame has itself before it."""
    exported = export_stream(classifier(direction="unidirectional", **options), tmp_path / f"step{suffix}")
    assert exported.max_difference < 1e-4
    kept = {"m2a": 2, "m2a-motion": 1, "m2a-plus+tsm": 3}[options["mechanism"]]
    assert len(exported.memory) == 2 + kept


def test_onnxruntime_alone_is_enough(tmp_path: Path) -> None:
    file = export_stream(classifier("none"), tmp_path / "step.onnx").file
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["m2a"])
    assert about["kind"] == "stream"
    assert about["class_names"] == ["a", "b", "c", "d", "é"]
    assert about["memory"] == [
        {"name": one.name, "shape": one.shape} for one in session.get_inputs() if one.name != "frames"
    ]
    assert [one.name for one in session.get_outputs()] == ["probabilities", "next_memory_0", "next_memory_1"]


def test_what_a_file_cannot_do(tmp_path: Path) -> None:
    file = tmp_path / "step.onnx"
    options = {"mechanism": "none", "num_frames": 3, "size": 32, "consensus": "attention"}
    with pytest.raises(ConfigError, match=r"answers with the mean of the last frames' scores"):
        export_stream(m2a.create_model("test_resnet", num_classes=3, **options), file)
    with pytest.raises(ConfigError, match="batch_size must be at least 1; got 0"):
        export_stream(classifier(), file, batch_size=0)
    assert not list(tmp_path.iterdir())


def test_what_was_trained_for_streams(tmp_path: Path) -> None:
    model = classifier("tsm", direction="unidirectional", padding_mode="stream")
    assert export_stream(model, tmp_path / "step.pt2").max_difference < 1e-4


def test_it_is_not_taken_for_a_classifier_of_clips(tmp_path: Path) -> None:
    file, clips = export_stream(classifier(), tmp_path / "step.pt2").file, tmp_path / "clips.pt2"
    with pytest.raises(CheckpointError, match=r"is one step of a stream \(m2a export --stream\).*m2a watch --stream"):
        load_exported(file)
    with pytest.raises(CheckpointError, match=r"clips\.pt2 takes clips, and a stream gives frames\. Export the model"):
        load_stream(export_model(classifier(), clips).file)


def test_the_file_takes_the_place_of_a_stream(tmp_path: Path) -> None:
    model, streams = classifier("m2a", direction="unidirectional"), 2
    file = load_stream(export_stream(model, tmp_path / "step.pt2", batch_size=streams).file)
    stream = m2a.Stream(model)
    assert (file.labels, file.num_frames, file.num_streams) == (model.labels, FRAMES, streams)
    assert file.preprocessing.test_transform(pixels(1)[0]).shape == (FRAMES, 3, SIZE, SIZE)
    frames = torch.cat([pixels(streams), pixels(streams)], dim=1)
    for begins_anew in (None, [1], [0], []):  # all, one of them, none
        for frame in frames.unbind(1):
            torch.testing.assert_close(file.step(frame), stream.step(frame), atol=1e-5, rtol=1e-3)
        file.reset(begins_anew)
        stream.reset(begins_anew)
    with pytest.raises(ConfigError, match=r"There are 2 streams, 0 to 1; got 2\."):
        file.reset([2])
    for wrong in (frames[:1, 0], frames[:, 0].float(), frames):
        with pytest.raises(ClipShapeError, match=rf"takes a frame of each stream, uint8 \(2, 3, {SIZE}, {SIZE}\); got"):
            file.step(wrong)


def test_damaged_metadata_are_named(tmp_path: Path) -> None:
    import onnx

    file = export_stream(classifier("none"), tmp_path / "step.onnx").file
    model = onnx.load(file)
    about = json.loads(model.metadata_props[0].value)
    for broken in (about | {"memory": []}, about | {"memory": [{"name": "memory_0"}]}, about | {"clips": {}}):
        model.metadata_props[0].value = json.dumps(broken)
        onnx.save(model, file)
        with pytest.raises(CheckpointError, match=r"step\.onnx: its metadata are damaged"):
            load_stream(file)
