"""Networks of the sources, imported: the same scores as the networks that wrote the files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import other_layouts as others
import pytest
import source_networks as networks
import torch
import torchvision
from safetensors import safe_open
from torch import nn

import m2a
from m2a.errors import CheckpointError, ConfigError, SpecError
from m2a.interop import convert_state_dict, import_checkpoint, read_checkpoint

GOLDEN = Path(__file__).parent.parent / "golden"
CLIPS = (2, networks.FRAMES, 3, 64, 64)


def resnet18() -> nn.Module:
    return torchvision.models.resnet18()


def tsm_resnet() -> nn.Module:
    return networks.Consensus(networks.shifted_resnet(resnet18()))


def m2a_resnet() -> nn.Module:
    return networks.Consensus(networks.gated_resnet())


def saved(network: nn.Module, folder: Path) -> Path:
    return networks.save(network, folder / "ckpt.pth.tar")


# source, network, what import_checkpoint is told, what the report says: backbone, mechanism, sites
CASES: dict[str, tuple[str, Callable[[], nn.Module], dict[str, object], tuple[str, str, int]]] = {
    "m2a": ("m2a", m2a_resnet, {"num_frames": 4}, ("resnet18", "m2a", 8)),
    "m2a-motion": (
        "m2a",
        lambda: networks.Consensus(networks.gated_resnet(lambda _: networks.FramesApart(attention=False))),
        {"num_frames": 4, "mechanism": "m2a-motion"},
        ("resnet18", "m2a-motion", 8),
    ),
    "m2a+tsm": (
        "m2a",
        lambda: networks.Consensus(networks.gated_resnet(tsm=True)),
        {"num_frames": 4},
        ("resnet18", "m2a+tsm", 8),
    ),
    "m2a, tea and tam inside": (
        "m2a",
        lambda: networks.Consensus(networks.gated_resnet(networks.MotionThenTam)),
        {},
        ("resnet18", "tea:tam", 8),
    ),
    "m2a, tdn inside": (
        "m2a",
        lambda: networks.Consensus(networks.gated_resnet(networks.Difference)),
        {"num_frames": 4},
        ("resnet18", "tdn", 8),
    ),
    "m2a mobilenet": (
        "m2a",
        lambda: networks.Consensus(
            networks.mobilenet(lambda conv: nn.Sequential(networks.Gate(conv.in_channels), conv)), "classifier"
        ),
        {"num_frames": 4},
        ("mobilenetv2_100", "m2a", 10),
    ),
    "m2a i3d": ("m2a", networks.ClipModel, {"num_frames": 4}, ("resnet18", "m2a", 8)),
    "m2a i3d, tam inside": ("m2a", lambda: networks.ClipModel(tam=True), {}, ("resnet18", "tam", 8)),
    "m2a, tsm alone": ("m2a", tsm_resnet, {"num_frames": 4}, ("resnet18", "tsm", 8)),
    "tsm": ("tsm", tsm_resnet, {"num_frames": 4}, ("resnet18", "tsm", 8)),
    "tsm without dropout": (
        "tsm",
        lambda: networks.Consensus(networks.shifted_resnet(resnet18()), dropout=False),
        {"num_frames": 4},
        ("resnet18", "tsm", 8),
    ),
    "tsm mobilenet": (
        "tsm",
        lambda: networks.Consensus(networks.mobilenet(networks.Shift), "classifier"),
        {"num_frames": 4},
        ("mobilenetv2_100", "tsm", 10),
    ),
    "tsn": ("tsm", lambda: networks.Consensus(resnet18()), {"num_frames": 4}, ("resnet18", "none", 0)),
    "tsm for streams": ("tsm", others.Online, {"num_frames": 4}, ("mobilenetv2_100", "tsm", 10)),
    "tam": ("tam", lambda: networks.Consensus(networks.adaptive_resnet50()), {}, ("resnet50", "tanet", 16)),
    "mmaction2 tsn": ("mmaction2", others.tsn, {"num_frames": 4}, ("resnet18", "none", 0)),
    "mmaction2 tsm": ("mmaction2", others.tsm, {"num_frames": 4}, ("resnet18", "tsm", 8)),
    "mmaction2 tsm mobilenet": (
        "mmaction2",
        others.tsm_mobilenet,
        {"num_frames": 4},
        ("mobilenetv2_100", "tsm", 10),
    ),
    "mmaction2 tanet": ("mmaction2", others.tanet, {}, ("resnet50", "tanet", 16)),
}


@torch.no_grad()
@pytest.mark.parametrize("name", CASES)
def test_the_same_scores(name: str, tmp_path: Path) -> None:
    source, build, told, (backbone, mechanism, sites) = CASES[name]
    network = networks.trained(build())
    imported = import_checkpoint(saved(network, tmp_path), source=source, **told)  # type: ignore[arg-type]
    model = imported.model
    report = imported.report
    assert (report.backbone, report.mechanism, report.sites) == (backbone, mechanism, sites)
    assert (report.num_frames, report.num_classes) == (networks.FRAMES, networks.CLASSES)
    assert report.complete
    assert report.placed == len(network.state_dict())
    clips = torch.randn(CLIPS, dtype=torch.float64)  # so that rounding hides nothing
    wanted = network.double()(clips)
    assert not model.training
    torch.testing.assert_close(model.double()(clips), wanted, atol=1e-9, rtol=1e-9)
    assert float((wanted[0] - wanted[1]).abs().max()) > 1e-3, "the clips are not seen in the scores"
    if mechanism != "none":
        backwards = model(clips.flip(1))
        assert float((backwards - wanted).abs().max()) > 1e-3, "the mechanism is not seen in the scores"


def test_deep_networks_carry_it_at_every_second_block_of_every_stage(tmp_path: Path) -> None:
    """The sources skip blocks in all stages of a ResNet-101; the sites are read from the file, not chosen anew."""
    network = networks.Consensus(networks.shifted_resnet(torchvision.models.resnet101()))
    placed = read_checkpoint(saved(network, tmp_path), "tsm")
    assert placed.backbone == "resnet101"
    assert [site for site in placed.sites if "layer3" not in site] == [
        f"layer{stage}.{block}.conv1" for stage in (1, 2, 4) for block in (0, 2)
    ]
    assert len([site for site in placed.sites if "layer3" in site]) == 12


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.safetensors")), ids=lambda path: path.stem)
def test_the_keys_tell_the_mechanism(path: Path) -> None:
    """All that the released code could hold, from the recordings of it; those without weights inside are not told."""
    with safe_open(path, "pt") as file:
        about = file.metadata()
        weights = {key.removeprefix("weight/"): file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    if about["mechanism"] == "tsm":
        return
    state = {f"module.base_model.layer1.0.conv1.0.{key}": value for key, value in weights.items()}
    state = {key: value for key, value in state.items() if "conv1.0.conv_" in key or "modules_list" in key}
    state["module.base_model.layer1.0.conv1.1.weight"] = torch.zeros(1)
    ours = convert_state_dict(state)
    mechanism = m2a.create_mechanism(about["mechanism"], channels=24, num_frames=int(about["num_frames"]))
    prefix = "backbone.layer1.0.conv1."
    assert set(ours) == {f"{prefix}mechanism.{key}" for key in mechanism.state_dict()} | {f"{prefix}weight"}


def test_what_is_assumed_is_said(tmp_path: Path) -> None:
    path = saved(m2a_resnet(), tmp_path)
    report = import_checkpoint(path, source="m2a").report
    assert [text.partition(":")[0] for text in report.assumed] == ['the mechanism is "m2a"', "clips have 8 frames"]
    assert report.notes == ()
    told = import_checkpoint(path, source="m2a", mechanism="m2a:patch4", num_frames=16)
    assert told.report.assumed == ()
    assert "scores differ from the source's unless all maps can be cut" in told.report.notes[0]
    assert told.model.config is not None
    assert told.model.config.mechanism_options == {"boundary": "zero"}
    assert told.model.num_frames == 16
    assert str(told.report).splitlines()[0] == (
        'm2a: resnet18 with "m2a:patch4" at 8 sites, 16 frames, 5 classes; 154 tensors placed'
    )


@torch.no_grad()
def test_options_that_the_weights_do_not_tell(tmp_path: Path) -> None:
    path = saved(networks.trained(tsm_resnet()), tmp_path)
    report = import_checkpoint(path, source="tsm", num_frames=4).report
    assert report.assumed[0].startswith("1/8 of the channels is shifted each way: the weights do not tell")
    options = {"shift_div": 4, "direction": "unidirectional"}
    imported = import_checkpoint(path, source="tsm", num_frames=4, mechanism_options=options)
    assert imported.report.assumed[0].startswith("1/4 of the channels is shifted from the frame before alone:")
    assert {shift.fold for shift in imported.model.modules() if isinstance(shift, m2a.mechanisms.TemporalShift)} == {
        16, 32, 64, 128
    }  # fmt: skip
    with pytest.raises(
        SpecError, match=r"The mechanism 'tsm' has no option 'size'\. It takes: direction, padding_mode"
    ):
        import_checkpoint(path, source="tsm", mechanism_options={"size": 112})


@torch.no_grad()
def test_a_network_for_streams_answers_a_stream(tmp_path: Path) -> None:
    network = networks.trained(others.Online())
    path = saved(network, tmp_path)
    imported = import_checkpoint(path, source="tsm", num_frames=4)
    assert "from the frame before alone" in imported.report.assumed[1]
    assert "an image network of its repository" in imported.report.assumed[0]
    plain = import_checkpoint(path, source="tsm", num_frames=4, mechanism="none")
    assert (plain.report.mechanism, plain.report.assumed) == ("none", ())
    stream, clips = m2a.Stream(imported.model), torch.randint(0, 256, (2, 4, 3, 64, 64), dtype=torch.uint8)
    for frames in clips.unbind(1):
        probabilities = stream.step(frames)
    wanted = network(imported.model.preprocessing.normalize(clips)).softmax(-1)
    torch.testing.assert_close(probabilities, wanted, atol=1e-5, rtol=1e-5)


def test_labels_are_the_files_or_the_callers(tmp_path: Path) -> None:
    path = saved(tsm_resnet(), tmp_path)
    (tmp_path / "labels.csv").write_text("e\nd\nc\nb\na\n")
    assert import_checkpoint(path, source="tsm", labels=tmp_path / "labels.csv").model.labels == tuple("abcde")
    assert import_checkpoint(path, source="tsm", labels=list("edcba")).model.labels == tuple("edcba")
    with pytest.raises(CheckpointError, match=r"labels holds 2 labels, and the checkpoint's head has 5 classes"):
        import_checkpoint(path, source="tsm", labels=["a", "b"])


def test_the_i3d_is_said_to_have_seen_other_clips(tmp_path: Path) -> None:
    report = import_checkpoint(saved(networks.ClipModel(), tmp_path), source="m2a", num_frames=8).report
    assert "reads clips of (T, 3) as (3, T)" in report.notes[0]


@pytest.mark.parametrize(
    ("network", "source", "told", "message"),
    [
        (tsm_resnet, "tsm", {"mechanism": "m2a"}, r'The file holds "tsm", as its keys tell; got mechanism "m2a"'),
        (
            m2a_resnet,
            "m2a",
            {"mechanism": "tam"},
            r'a gate without weights inside; got mechanism "tam"\. It can be m2a',
        ),
        (m2a_resnet, "m2a", {"mechanism": "m2a+tsm"}, r'got mechanism "m2a\+tsm"'),
        (
            lambda: networks.Consensus(networks.gated_resnet(tsm=True)),
            "m2a",
            {"mechanism": "m2a"},
            r"inside, then tsm; .* It can be m2a\+tsm",
        ),
        (
            lambda: networks.Consensus(networks.gated_resnet(networks.MotionThenTam)),
            "m2a",
            {"num_frames": 8},
            r"TAM's weights in the file are for clips of 4 frames; got num_frames=8",
        ),
        (m2a_resnet, "m2a", {"num_frames": 0}, r"num_frames=0 and size=224 must both be at least 1"),
        (tsm_resnet, "tms", {}, r'source must be one of "m2a" \(gebob19/M2A\), "tsm" .*; got \'tms\''),
    ],
)
def test_contradictions_are_refused(
    network: Callable[[], nn.Module], source: str, told: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        import_checkpoint(saved(network(), tmp_path), source=source, **told)  # type: ignore[arg-type]


def test_files_of_old_versions_of_torch_lack_counters(tmp_path: Path) -> None:
    network = tsm_resnet()
    path = saved(network, tmp_path)
    content = torch.load(path, weights_only=True)
    content["state_dict"] = {k: v for k, v in content["state_dict"].items() if "num_batches" not in k}
    torch.save(content, path)
    assert import_checkpoint(path, source="tsm").report.complete


def test_a_backbone_that_is_not_known_is_to_be_named(tmp_path: Path) -> None:
    network = torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1])
    path = saved(networks.trained(networks.Consensus(networks.shifted_resnet(network))), tmp_path)
    with pytest.raises(CheckpointError, match=r"1, 1, 1, 1 basic blocks .* If timm has it, name it with backbone=\."):
        import_checkpoint(path, source="tsm")
    with pytest.raises(CheckpointError, match=r"does not fit this VideoClassifier\. Not in the file: .*layer1\.1"):
        import_checkpoint(path, source="tsm", backbone="resnet18")
