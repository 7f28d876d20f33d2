"""A file that a model was exported to takes its place where something is predicted."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from exportable import CLASSES, FRAMES, SIZE, classifier, pixels
from onnxruntime.quantization import CalibrationDataReader, quantize_static
from PIL import Image
from torch import Tensor

from m2a.data.clipset import ClipFile
from m2a.data.dataset import read_views
from m2a.errors import CheckpointError, ClipShapeError, ConfigError, DivergedError, NotFoundError
from m2a.evaluation import evaluate, load_predictor, predict, predict_all, predict_timeline
from m2a.evaluation.predict import load_clip
from m2a.export import export_model, is_exported, load_exported
from permissions import allowed
from shape_checks import without_shape_checks

pytestmark = pytest.mark.usefixtures("as_users_run_it")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.onnx and model.pt2, for any number of clips. Not to be changed."""
    folder = tmp_path_factory.mktemp("exported")
    with without_shape_checks():
        for suffix in (".onnx", ".pt2"):
            export_model(classifier("tsm"), folder / f"model{suffix}")
    return folder


def folders(root: Path, count: int, size: tuple[int, int] = (37, 53)) -> list[Path]:
    """Clips of noise, as folders of pictures, each of another length."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(count):
        made.append(root / f"clip-{number}")
        made[-1].mkdir(parents=True)
        for frame in range(7 + number):
            picture = Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8))
            picture.save(made[-1] / f"{frame + 1:05}.jpg")
    return made


def test_large_pictures_are_read_as_the_model_reads_them(tmp_path: Path) -> None:
    """Of JPEGs of 74 pixels a half will do where crops are not made larger: that depends on their scales."""
    model = classifier("m2a")
    model.preprocessing = replace(model.preprocessing, scales=(1.0,))
    read = load_exported(export_model(model, tmp_path / "model.pt2").file)
    (clip,) = folders(tmp_path / "clips", 1, size=(74, 106))
    assert torch.equal(load_clip(read, clip), load_clip(model, clip))
    usual = replace(model.preprocessing, scales=(1.0, 0.66))
    assert not torch.equal(load_clip(model, clip), read_views(clip, usual))


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_it_predicts_as_the_model_does(suffix: str, tmp_path: Path) -> None:
    model = classifier("m2a")
    model.preprocessing = replace(model.preprocessing, resize=31, sampling="uniform", interpolation="bicubic")
    read = load_exported(export_model(model, tmp_path / f"model{suffix}").file)
    assert (read.labels, read.num_frames) == (model.labels, FRAMES)
    clips = folders(tmp_path / "clips", 11)
    for file, ours in ((read, model), (load_predictor(read.file), model)):
        found, expected = predict(file, clips[4], num_crops=3, top_k=2), predict(ours, clips[4], num_crops=3, top_k=2)
        assert [guess.label for guess in found.guesses] == [guess.label for guess in expected.guesses]
        assert found.guesses[0].probability == pytest.approx(expected.guesses[0].probability, abs=1e-4)
    many = list(predict_all(read, clips, batch_size=3))
    for one, other in zip(many, predict_all(model, clips), strict=True):
        assert one.path == other.path
        assert one.guesses[0].label == other.guesses[0].label
        assert one.guesses[0].probability == pytest.approx(other.guesses[0].probability, abs=1e-4)
    windows = [predict_timeline(one, clips[10], frame_rate=5, window=1).windows for one in (read, model)]
    assert len(windows[0]) > 2
    for window, other in zip(*windows, strict=True):
        assert window.start == other.start
        assert window.guesses[0].probability == pytest.approx(other.guesses[0].probability, abs=1e-4)


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_it_is_evaluated_as_the_model_is(suffix: str, tmp_path: Path) -> None:
    model = classifier("tsm")
    read = load_exported(export_model(model, tmp_path / f"model{suffix}", batch_size=3).file)
    paths = folders(tmp_path / "clips", 7)
    clips = [ClipFile(id=path.name, path=path, label="abcdé"[number % 5]) for number, path in enumerate(paths)]
    found, expected = evaluate(read, clips, probes=True), evaluate(model, clips, probes=True)
    torch.testing.assert_close(found.probabilities, expected.probabilities, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(found.probes["shuffled"], expected.probes["shuffled"], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_a_fixed_number_is_filled(suffix: str, tmp_path: Path) -> None:
    model = classifier("m2a")
    read = load_exported(export_model(model, tmp_path / f"model{suffix}", batch_size=3).file)
    for count in (1, 2, 3, 7):
        clips = pixels(count)
        torch.testing.assert_close(read(clips), model.predict_probabilities(clips), atol=1e-4, rtol=1e-3)


def test_videos_fill_a_file_of_a_fixed_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where threads are asked for, which give a model one video at a time."""
    read = load_exported(export_model(classifier("tsm"), tmp_path / "model.pt2", batch_size=3).file)
    sizes, run = [], read._run
    monkeypatch.setattr(read, "_run", lambda inputs: sizes.append(len(inputs[0])) or run(inputs))
    assert len(list(predict_all(read, folders(tmp_path / "clips", 7), batch_size=6, threads=2))) == 7
    assert sizes == [3, 3, 3]


@pytest.mark.parametrize(
    ("clips", "got"),
    [
        (torch.zeros(2, FRAMES + 1, 3, SIZE, SIZE, dtype=torch.uint8), rf"uint8 \(2, {FRAMES + 1}, 3, {SIZE}"),
        (torch.zeros(FRAMES, 3, SIZE, SIZE, dtype=torch.uint8), rf"uint8 \({FRAMES}, 3, {SIZE}"),
        (torch.zeros(2, FRAMES, 3, SIZE, SIZE), r"float32 \(2, "),
        (torch.zeros(0, FRAMES, 3, SIZE, SIZE, dtype=torch.uint8), r"uint8 \(0, "),
    ],
)
def test_clips_that_do_not_fit(clips: Tensor, got: str, files: Path) -> None:
    read = load_exported(files / "model.pt2")
    with pytest.raises(ClipShapeError, match=rf"takes clips uint8 \(B, {FRAMES}, 3, {SIZE}, {SIZE}\).*got {got}"):
        read.predict_probabilities(clips)


class Calibration(CalibrationDataReader):
    def __init__(self) -> None:
        self.clips = iter(pixels(4))

    def get_next(self) -> dict[str, np.ndarray] | None:
        clip = next(self.clips, None)
        return None if clip is None else {"clips": clip[None].numpy()}


def test_a_quantised_file_still_says_what_it_is(tmp_path: Path) -> None:
    file = export_model(classifier("m2a"), tmp_path / "model.onnx").file
    quantize_static(file, tmp_path / "small.onnx", Calibration())
    small, whole = load_exported(tmp_path / "small.onnx"), load_exported(file)
    assert (small.labels, small.preprocessing) == (whole.labels, whole.preprocessing)
    clips = pixels(5)
    difference = (small(clips) - whole(clips)).abs().max()
    assert 0 < difference < 0.1


def test_what_a_file_does_not_do(files: Path, tmp_path: Path) -> None:
    read = load_exported(files / "model.pt2")
    path = folders(tmp_path / "clips", 1)[0]
    clips = [ClipFile(id="0", path=path, label="a")]
    alone = r"model\.pt2 is run as it is, on a processor and in the precision that is in it; leave "
    with pytest.raises(ConfigError, match=rf"{alone}bf16 \(--bf16\) out"):
        evaluate(read, clips, bf16=True)
    with pytest.raises(ConfigError, match=alone):
        list(predict_all(read, [path], bf16=True))
    with pytest.raises(ConfigError, match=alone):
        predict_timeline(read, path, frame_rate=5, bf16=True)
    with pytest.raises(ConfigError, match=rf"{alone}device='cuda:1' \(--device\) out"):
        evaluate(read, clips, device="cuda:1")
    with pytest.raises(ConfigError, match=alone):
        load_predictor(read.file, bf16=True)
    with pytest.raises(ConfigError, match="has its image weights in it"):
        load_predictor(read.file, image_weights="resnet18.safetensors")
    read.labels = None
    with pytest.raises(ConfigError, match=r"model\.pt2 has no labels\. Create the model with labels=, and export it"):
        predict(read, path)


def test_code_in_a_pickle_of_tensors_is_not_run(files: Path, tmp_path: Path) -> None:
    """`torch.export.load` by itself would run it."""
    pickled = io.BytesIO()
    torch.save(Mine(tmp_path / "was-here"), pickled)
    with zipfile.ZipFile(files / "model.pt2") as whole, zipfile.ZipFile(tmp_path / "evil.pt2", "w") as evil:
        replaced = [name for name in whole.namelist() if "sample_inputs" in name]
        for name in whole.namelist():
            evil.writestr(name, pickled.getvalue() if name in replaced else whole.read(name))
    assert replaced
    with pytest.raises(CheckpointError, match=r"evil\.pt2 cannot be read by torch"):
        load_exported(tmp_path / "evil.pt2")
    assert not (tmp_path / "was-here").exists()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


class Mine:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_scores_that_are_no_numbers(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = load_exported(files / "model.pt2")
    monkeypatch.setattr(read, "_run", lambda inputs: [torch.full((len(inputs[0]), CLASSES), torch.nan)])
    with pytest.raises(DivergedError, match=r"name no class\. Export the model anew, or predict with the"):
        predict(read, folders(tmp_path / "clips", 1)[0])


def _foreign(file: Path, whole: Path) -> None:
    kind = onnx.TensorProto.FLOAT
    values = [onnx.helper.make_tensor_value_info(name, kind, [1, 5]) for name in ("clips", "probabilities")]
    node = onnx.helper.make_node("Softmax", ["clips"], ["probabilities"])
    graph = onnx.helper.make_graph([node], "other", values[:1], values[1:])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9), file)


def _other_program(file: Path, whole: Path) -> None:
    torch.export.save(torch.export.export(torch.nn.Linear(2, 3), (torch.randn(1, 2),)), file)


def _with(**changed: object) -> Callable[[Path, Path], None]:
    """A file whose metadata say something else."""

    def make(file: Path, whole: Path) -> None:
        model = onnx.load(whole)
        metadata = json.loads(model.metadata_props[0].value) | changed
        model.metadata_props[0].value = json.dumps({key: value for key, value in metadata.items() if value != "gone"})
        onnx.save(model, file)

    return make


def _clips(**changed: object) -> dict[str, object]:
    how = {"num_frames": FRAMES, "sampling": "segments", "stride": 1, "short_side": 30, "size": SIZE}
    return how | {"interpolation": "bilinear"} | changed


def _foreign_with_metadata(file: Path, whole: Path) -> None:
    (metadata,) = onnx.load(whole).metadata_props
    _foreign(file, whole)
    model = onnx.load(file)
    model.metadata_props.append(metadata)
    onnx.save(model, file)


@pytest.mark.parametrize(
    ("name", "make", "error", "message"),
    [
        (
            "model.onnx",
            lambda file, whole: None,
            NotFoundError,
            r"no file .*model\.onnx\. m2a export RUN --out",
        ),
        (
            "model.bin",
            lambda file, whole: file.touch(),
            ConfigError,
            r"NAME\.onnx or NAME\.pt2; got .*model\.bin",
        ),
        ("model.onnx", lambda file, whole: file.write_bytes(b"no"), CheckpointError, "cannot be read by onnxruntime "),
        ("model.pt2", lambda file, whole: file.write_bytes(b"no"), CheckpointError, "cannot be read by torch "),
        ("model.onnx", _foreign, CheckpointError, "does not say what its classes are called"),
        ("model.pt2", _other_program, CheckpointError, "does not say what its classes are called"),
        ("model.onnx", _with(model="gone"), CheckpointError, r"metadata are damaged \(KeyError: 'model'\)"),
        ("model.onnx", _with(model="m2a"), CheckpointError, "metadata are damaged .*the model is no object"),
        ("model.onnx", _with(class_names="abcde"), CheckpointError, "class_names are no list"),
        ("model.onnx", _with(class_names=["a", "b"]), CheckpointError, r"name 2 classes, but it gives \(any, 5\)"),
        ("model.onnx", _with(clips=_clips(num_frames=4)), CheckpointError, r"say clips \(any, 4, any, 26, 26\), but"),
        ("model.onnx", _with(clips=_clips(colour=3)), CheckpointError, "metadata are damaged .*colour"),
        ("model.onnx", _foreign_with_metadata, CheckpointError, r"but it takes \(1, 5\)"),
    ],
)
def test_other_files(
    name: str, make: Callable[[Path, Path], object], error: type[Exception], message: str, files: Path, tmp_path: Path
) -> None:
    make(tmp_path / name, files / "model.onnx")
    with pytest.raises(error, match=message):
        load_exported(tmp_path / name)


def test_a_name_alone_is_no_file(tmp_path: Path) -> None:
    """A folder is a model of ours. What is called so is a file, not a model on the hub, also where it is not there."""
    (tmp_path / "model.onnx").mkdir()
    assert not is_exported(tmp_path / "model.onnx")
    assert is_exported("owner/name.onnx")


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_a_file_that_a_later_version_wrote(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("m2a.export.export.METADATA_FORMAT", 2)
    with without_shape_checks():
        newer = export_model(classifier("m2a"), tmp_path / f"newer{suffix}").file
    with pytest.raises(CheckpointError, match=r"was written by a newer m2a \(m2a .*of format 2, .* reads up to 1\. Up"):
        load_exported(newer)


def test_a_file_in_capitals(files: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Of which torch warns, where it is given its name."""
    shutil.copy(files / "model.pt2", tmp_path / "MODEL.PT2")
    assert load_exported(tmp_path / "MODEL.PT2").labels == load_exported(files / "model.pt2").labels
    assert "buffer" not in capfd.readouterr().err


def test_a_file_that_may_not_be_read(files: Path, tmp_path: Path) -> None:
    """It is not damaged."""
    for suffix in (".onnx", ".pt2"):
        file = Path(shutil.copy(files / f"model{suffix}", tmp_path / f"m{suffix}"))
        with allowed(0o000, file), pytest.raises(PermissionError, match=f"Permission denied: .*{file.name}"):
            load_exported(file)
