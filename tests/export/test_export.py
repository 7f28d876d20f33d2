"""Files that run without this library give what the model gives, whatever the mechanism and the number of clips."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnxruntime
import pytest
import torch
from exportable import CLASSES, FRAMES, SIZE, classifier, pixels
from torch import Tensor, nn

import m2a
from m2a.data import Preprocessing
from m2a.errors import ConfigError, ExportError
from m2a.export import export_model
from m2a.export.formats import FORMATS, Program

MECHANISMS = ("m2a-plus", "tea", "tdn", "tanet", "m2a:tam", "m2a:patch8", "m2a+tsm")
"""Every part of the catalogue once: those of m2a and of tsm are in their stack."""
VISIBLE = {"zero_init_last": False}  # else residual branches give nothing, and no test sees what is in them


def run_onnx(file: Path, clips: Tensor) -> Tensor:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(["probabilities"], {"clips": clips.numpy()})[0])


def run_torch(file: Path, clips: Tensor) -> Tensor:
    return torch.export.load(file).module()(clips)


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_every_mechanism_in_onnx(mechanism: str, tmp_path: Path) -> None:
    model, file = classifier(mechanism), tmp_path / "model.onnx"
    export_model(model, file)
    for count in (1, 7):
        clips = pixels(count)
        torch.testing.assert_close(run_onnx(file, clips), model.predict_probabilities(clips), atol=1e-4, rtol=1e-3)


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(
    ("backbone", "options"),
    [
        ("test_resnet", {"backbone_options": VISIBLE}),
        ("resnet18", {"inflate": True, "backbone_options": {"channels": (8, 8, 16, 16), **VISIBLE}}),
    ],
)
def test_networks_of_timm_in_torch(backbone: str, options: dict[str, object], tmp_path: Path) -> None:
    model = m2a.create_model(backbone, num_classes=CLASSES, num_frames=FRAMES, size=32, **options).eval()
    nn.init.normal_(model.head.weight, std=0.1)
    exported = export_model(model, tmp_path / "model.pt2")
    clips = torch.randint(0, 256, (5, FRAMES, 3, 32, 32), dtype=torch.uint8)
    for other in (clips.flip(1), clips.flip(2)):  # of frames or channels in another order it says other things
        assert (model.predict_probabilities(other) - model.predict_probabilities(clips)).abs().max() > 1e-3
    found = run_torch(exported.file, clips)
    torch.testing.assert_close(found, model.predict_probabilities(clips), atol=1e-4, rtol=1e-3)
    assert exported.size == exported.file.stat().st_size
    assert (exported.clips, exported.num_classes) == ((None, FRAMES, 3, 32, 32), CLASSES)
    assert exported.max_difference < 1e-4
    assert exported.checked_with == f"torch {torch.__version__.split('+')[0]}"


def onnx_metadata(file: Path) -> str:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.get_modelmeta().custom_metadata_map["m2a"]


def torch_metadata(file: Path) -> str:
    extra = {"m2a.json": ""}
    torch.export.load(file, extra_files=extra)
    return extra["m2a.json"]


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(("suffix", "metadata"), [(".onnx", onnx_metadata), (".PT2", torch_metadata)])
def test_what_one_must_know_is_in_the_file(suffix: str, metadata: Callable[[Path], str], tmp_path: Path) -> None:
    model = classifier("tsm")
    model.preprocessing = replace(model.preprocessing, resize=31, sampling="dense", stride=2)
    content = json.loads(metadata(export_model(model, tmp_path / "new" / f"model{suffix}", batch_size=2).file))
    assert content["class_names"] == ["a", "b", "c", "d", "é"]
    assert content["clips"] == {
        "num_frames": FRAMES, "sampling": "dense", "stride": 2, "short_side": 31, "size": SIZE,
        "interpolation": "bilinear", "scales": [1.0, 0.875, 0.75, 0.66],
    }  # fmt: skip
    assert content["model"] is None  # put together by hand
    assert content["about"].startswith("Written by m2a. clips: uint8 (2, 3, 3, 26, 26), RGB, 0 to 255, batch x time")
    assert content["library"].startswith("m2a ")


@pytest.mark.usefixtures("as_users_run_it")
def test_a_head_of_several_layers(tmp_path: Path) -> None:
    model, x = classifier(), pixels(3)
    model.head, model.labels = nn.Sequential(nn.Linear(24, 8), nn.ReLU(), nn.Linear(8, 4)), None
    exported = export_model(model, tmp_path / "model.pt2")
    assert exported.num_classes == 4
    assert "float32 (any number, 4)" in torch_metadata(exported.file)
    found = run_torch(exported.file, x)
    assert not found.requires_grad
    torch.testing.assert_close(found, model.predict_probabilities(x), rtol=0, atol=1e-5)


def test_labels_that_are_not_the_scores_are_refused(tmp_path: Path) -> None:
    model = classifier()
    model.head = nn.Linear(24, 4)
    with pytest.raises(ConfigError, match=r"has 5 names and the model gives 4 scores\. Set model\.labels"):
        export_model(model, tmp_path / "model.pt2")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("as_users_run_it")
def test_a_fixed_number_of_clips(tmp_path: Path) -> None:
    file = export_model(classifier("m2a"), tmp_path / "model.onnx", batch_size=1).file
    assert onnxruntime.InferenceSession(file).get_inputs()[0].shape == [1, FRAMES, 3, SIZE, SIZE]
    any_number = export_model(classifier("tsm"), tmp_path / "any.onnx").file
    assert onnxruntime.InferenceSession(any_number).get_inputs()[0].shape == ["batch", FRAMES, 3, SIZE, SIZE]


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_model_stays_as_it_is(dtype: torch.dtype, tmp_path: Path) -> None:
    """In training, in 16 bits: the file is of the same weights in evaluation, in 32."""
    model = classifier("tsm").to(dtype).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    exported = export_model(model, tmp_path / "model.pt2")
    assert all(module.training for module in model.modules())
    assert model.state_dict().keys() == before.keys()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    clips = pixels(4)
    expected = model.eval().float().predict_probabilities(clips)
    torch.testing.assert_close(run_torch(exported.file, clips), expected, atol=1e-4, rtol=1e-3)


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_casts_of_the_caller_are_not_in_the_file(suffix: str, tmp_path: Path) -> None:
    model = classifier("m2a")
    plain = export_model(model, tmp_path / f"plain{suffix}")
    with torch.autocast("cpu", torch.bfloat16):
        exported = export_model(model, tmp_path / f"model{suffix}")
    assert (exported.max_difference, exported.size) == (plain.max_difference, plain.size)


def even(clips: Tensor, each: float = 1 / CLASSES) -> Tensor:
    return torch.full((len(clips), CLASSES), each)


class Choosy(nn.Module):
    """What it does depends on what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.Parameter(torch.randn(3, 5)) for _ in range(2))

    def forward(self, images: Tensor) -> Tensor:
        means = images.mean((2, 3))
        return means @ (self.first if not means.is_meta and means.sum() > 0 else self.second)


@pytest.mark.usefixtures("as_users_run_it")
def test_a_network_that_is_no_program(tmp_path: Path) -> None:
    model = m2a.VideoClassifier(Choosy(), CLASSES, preprocessing=Preprocessing(num_frames=FRAMES, size=SIZE))
    with pytest.raises(ExportError, match=r"^torch\.export cannot make a program of this network: .*batch_size=1"):
        export_model(model, tmp_path / "model.pt2")
    with pytest.raises(ExportError, match=r"^torch\.export cannot make a program of this network: (?!.*batch_size)"):
        export_model(model, tmp_path / "model.pt2", batch_size=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (even, r"not what the model gives: .* off by up to 0\."),
        (lambda clips: even(clips, torch.nan), r"not what the model gives: .* off by up to nan"),
        (lambda clips: even(clips, torch.nan if len(clips) == 3 else 0.2), r"not what .* off by up to nan"),
        (lambda clips: 1 / 0, r"does not run what was written: division by zero\. It was not kept"),
    ],
)
def test_a_file_that_does_something_else_is_not_kept(
    answer: Callable[[Tensor], Tensor], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = export_model(classifier("tsm"), tmp_path / "model.pt2").file
    before = file.read_bytes()
    other = Program(run=lambda inputs: [answer(*inputs)], takes=(), gives=(), metadata=None)
    monkeypatch.setattr(FORMATS[".pt2"], "read", lambda part: other)
    with pytest.raises(ExportError, match=message):
        export_model(classifier("m2a"), file)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.usefixtures("as_users_run_it")
def test_what_onnx_cannot_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("m2a.export.formats._PROTOBUF_LIMIT", 1000)
    with pytest.raises(ExportError, match=r"holds at most 2 GiB, and the weights alone take 0\.0\. Export to a \.pt2"):
        export_model(classifier("tsm"), tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("model.tflite", {}, r"suffix says what is written: \.onnx or \.pt2; got '.*model\.tflite'"),
        ("model", {}, r"suffix says what is written"),
        ("folder.pt2", {}, r"folder\.pt2 is a folder; name a file to write"),
        ("model.pt2", {"batch_size": 0}, r"batch_size must be at least 1; got 0\. Leave it out for any number"),
    ],
)
def test_options_that_cannot_work(name: str, options: dict[str, int], message: str, tmp_path: Path) -> None:
    (tmp_path / "folder.pt2").mkdir()
    with pytest.raises(ConfigError, match=message):
        export_model(classifier(), tmp_path / name, **options)


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(
        ConfigError, match=r'ONNX needs onnxscript.*pip install .*"onnxscript>=.*; or export to a \.pt2'
    ):
        export_model(classifier(), tmp_path / "model.onnx")


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_a_file_says_nothing_of_the_machine_that_wrote_it(suffix: str, tmp_path: Path) -> None:
    """Neither folders nor lines of code, which name users and customers, nor the clips that it was checked with."""
    model = classifier("m2a")
    file = export_model(model, tmp_path / f"model{suffix}").file
    content = file.read_bytes()
    if suffix == ".pt2":
        with zipfile.ZipFile(file) as parts:
            content = b"".join(parts.read(name) for name in parts.namelist())
    for told in (Path(m2a.__file__).parent, Path(torch.__file__).parent, tmp_path):
        assert str(told).encode() not in content
    assert b"resnet.py" not in content
    if suffix == ".pt2":
        program = torch.export.load(file)
        assert program.example_inputs is None
        clips = pixels(2)
        torch.testing.assert_close(torch.export.unflatten(program)(clips), program.module()(clips))


@pytest.mark.usefixtures("as_users_run_it")
def test_what_is_no_classifier_is_refused(tmp_path: Path) -> None:
    for wrong in (classifier("m2a").backbone, nn.DataParallel(classifier("m2a"))):
        with pytest.raises(
            ConfigError, match=r"export_model takes a VideoClassifier, .*; got a (Sequential|DataParallel)\."
        ):
            export_model(wrong, tmp_path / "model.onnx")
