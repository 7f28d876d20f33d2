"""What has no place here is named, and refused unless the caller goes on without it; so is a file that is unsafe."""

from __future__ import annotations

import os
import re
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np
import other_layouts as others
import pytest
import source_networks as networks
import torch
import torchvision
from torch import Tensor, nn

from m2a.errors import CheckpointError, ConfigError, NotFoundError
from m2a.interop import convert_state_dict, import_checkpoint, read_checkpoint


def tsm_resnet() -> nn.Module:
    return networks.Consensus(networks.shifted_resnet(torchvision.models.resnet18()))


def rewritten(path: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Path:
    content = torch.load(path, weights_only=True)
    torch.save(content | {"state_dict": change(dict(content["state_dict"]))}, path)
    return path


@torch.no_grad()
@pytest.mark.parametrize(
    ("source", "network", "backbone", "parts"),
    [
        ("tea", networks.Res2Net, "res2net50_26w_4s", {"motion excitation": 208, "multiple temporal aggregation": 64}),
        (
            "tdn",
            networks.DifferenceNet,
            "resnet50",
            {
                "short-term temporal difference module": 15,
                "long-term temporal difference module": 52,
                "learned shifts": 4,
            },
        ),
    ],
)
def test_networks_with_parts_of_their_own(
    source: str, network: Callable[[], nn.Module], backbone: str, parts: dict[str, int], tmp_path: Path
) -> None:
    """Refused; or, when it is wished, the image backbone and head: the same scores as theirs without those parts."""
    theirs = networks.trained(networks.Consensus(network()))
    path = networks.save(theirs, tmp_path / "ckpt.pth.tar")
    with pytest.raises(CheckpointError) as refusal:
        import_checkpoint(path, source=source)
    message = str(refusal.value)
    assert str(path) in message
    assert all(f"\n  {part} (base_model." in message for part in parts)
    assert 'the image backbone alone ("none")' in message
    assert "will not have its accuracy" in message
    assert "--allow-unplaced" in message

    imported = import_checkpoint(path, source=source, num_frames=networks.FRAMES, allow_unplaced=True)
    report = imported.report
    assert (report.backbone, report.mechanism) == (backbone, "none")
    assert {left.part: len(left.keys) for left in report.unplaced} == parts
    assert report.placed + sum(parts.values()) == len(theirs.state_dict())
    assert 'the result is the image backbone alone ("none")' in str(report)
    clips = torch.randn(2, networks.FRAMES, 3, 64, 64)
    wanted = theirs(clips)
    torch.testing.assert_close(imported.model(clips), wanted, atol=1e-5, rtol=1e-5)
    assert float((wanted[0] - wanted[1]).abs().max()) > 1e-3


def with_non_local(state: dict[str, Tensor]) -> dict[str, Tensor]:
    state = {key.replace("layer2.0.", "layer2.0.block."): value for key, value in state.items()}
    return state | {f"module.base_model.layer2.0.nl.{name}.weight": torch.zeros(1) for name in ("g", "theta", "W.1")}


def with_pooling(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.replace(".layer2.", ".layer2.net."): value for key, value in state.items()}


def with_whole_blocks(state: dict[str, Tensor]) -> dict[str, Tensor]:
    state = {key.replace(".net.weight", ".weight"): value for key, value in state.items()}
    return {re.sub(r"(layer\d\.\d)\.", r"\1.net.", key): value for key, value in state.items()}


@torch.no_grad()
@pytest.mark.parametrize(
    ("change", "part", "mechanism"),
    [
        (with_non_local, "non-local blocks", "tsm"),
        (with_pooling, "temporal pooling", "tsm"),
        (with_whole_blocks, "shift in front of whole blocks", "none"),
    ],
)
def test_variants_of_tsm(
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]], part: str, mechanism: str, tmp_path: Path
) -> None:
    theirs = networks.trained(tsm_resnet())
    path = rewritten(networks.save(theirs, tmp_path / "ckpt.pth.tar"), change)
    with pytest.raises(CheckpointError, match=rf"has no place in m2a:\n  {part} \(base_model\.layer"):
        import_checkpoint(path, source="tsm")
    imported = import_checkpoint(path, source="tsm", num_frames=networks.FRAMES, allow_unplaced=True)
    assert imported.report.mechanism == mechanism
    assert [left.part for left in imported.report.unplaced] == [part]
    if mechanism == "tsm":
        clips = torch.randn(2, networks.FRAMES, 3, 64, 64)
        torch.testing.assert_close(imported.model(clips), theirs(clips), atol=1e-5, rtol=1e-5)
        assert '"tsm" without these parts' in str(imported.report)


def test_foreign_and_missing_keys_are_named(tmp_path: Path) -> None:
    path = networks.save(tsm_resnet(), tmp_path / "ckpt.pth.tar")
    with pytest.raises(CheckpointError, match=r"unknown keys \(base_model\.layer1\.0\.conv1\.net\.weight and 7 more\)"):
        import_checkpoint(path, source="tea")
    rewritten(path, lambda state: state | {"module.base_model.extra.weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"unknown keys \(base_model\.extra\.weight\)"):
        import_checkpoint(path, source="tsm")
    rewritten(path, lambda state: {k: v for k, v in state.items() if "layer3.1.conv2" not in k})
    with pytest.raises(CheckpointError, match=r"Not in the file: backbone\.layer3\.1\.conv2\.weight\."):
        import_checkpoint(path, source="tsm", allow_unplaced=True)
    rewritten(path, lambda state: {k: v for k, v in state.items() if "new_fc" not in k})
    with pytest.raises(CheckpointError, match=r"has no head: new_fc\.weight, or fc\.weight or classifier\.weight"):
        import_checkpoint(path, source="tsm", allow_unplaced=True)


def test_files_that_are_no_networks_of_the_source(tmp_path: Path) -> None:
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "image.pth")
    with pytest.raises(
        CheckpointError, match=r"image\.pth: This is no network of mit-han-lab/.* \(the first is 'conv1"
    ):
        import_checkpoint(tmp_path / "image.pth", source="tsm")
    with pytest.raises(NotFoundError, match=r"There is no checkpoint .*nowhere\.pth"):
        import_checkpoint(tmp_path / "nowhere.pth", source="tsm")
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(CheckpointError, match=r"text\.pth cannot be read as a checkpoint"):
        import_checkpoint(tmp_path / "text.pth", source="tsm")


class Bomb:
    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_that_would_run_code_is_refused_and_does_not(legacy: bool, tmp_path: Path) -> None:
    content = {"state_dict": {"module.new_fc.weight": torch.zeros(1)}, "args": Bomb(tmp_path / "exploded")}
    torch.save(content, tmp_path / "bomb.pth.tar", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match=r"bomb\.pth\.tar .* is refused\. .* \(It holds (posix|nt)\.system\.\)"):
        import_checkpoint(tmp_path / "bomb.pth.tar", source="tsm")
    assert not (tmp_path / "exploded").exists()


def test_what_stands_where_tensors_should_is_named(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "args": Namespace(arch="resnet18")}, tmp_path / "args.pth.tar")
    with pytest.raises(CheckpointError, match=r"It holds argparse\.Namespace\."):
        read_checkpoint(tmp_path / "args.pth.tar", "tsm")


def test_what_a_training_keeps_beside_its_weights(tmp_path: Path) -> None:
    path = networks.save(
        tsm_resnet(), tmp_path / "ckpt.pth.tar", best_prec1=np.float64(12.3), args=Namespace(lr=np.array([0.1]))
    )
    assert read_checkpoint(path, "tsm").mechanism == "tsm"


@torch.no_grad()
def test_what_mmaction2_has_and_m2a_has_not(tmp_path: Path) -> None:
    theirs = networks.trained(others.tsm())
    path = networks.save(theirs, tmp_path / "epoch_50.pth")
    with pytest.raises(CheckpointError, match=r"This is no network of mit-han-lab/.* It looks like one of mmaction2"):
        import_checkpoint(path, source="tsm")
    with pytest.raises(
        CheckpointError, match=r"no network of open-mmlab/mmaction2: .* starts with backbone\. or cls_h"
    ):
        import_checkpoint(networks.save(tsm_resnet(), tmp_path / "ckpt.pth.tar"), source="mmaction2")

    rewritten(path, lambda state: {k.replace("layer2.0.", "layer2.0.block."): v for k, v in state.items()})
    rewritten(path, lambda state: state | {"module.backbone.layer2.0.non_local_block.g.conv.weight": torch.zeros(1)})
    with pytest.raises(
        CheckpointError, match=r"\n  non-local blocks \(backbone\.layer2\.0\.non_local_block\.g\.conv\.w"
    ):
        import_checkpoint(path, source="mmaction2")
    model = import_checkpoint(path, source="mmaction2", num_frames=networks.FRAMES, allow_unplaced=True).model
    clips = torch.randn(2, networks.FRAMES, 3, 64, 64)
    torch.testing.assert_close(model(clips), theirs(clips), atol=1e-5, rtol=1e-5)

    rewritten(path, lambda state: state | {"module.data_preprocessor.mean": torch.zeros(3)})
    with pytest.raises(CheckpointError, match=r"\n  unknown keys \(data_preprocessor\.mean\):"):
        import_checkpoint(path, source="mmaction2")
    assert import_checkpoint(path, source="mmaction2", allow_unplaced=True).report.mechanism == "tsm"

    rewritten(path, lambda state: {k: v[..., None] if "conv1.conv" in k else v for k, v in state.items()})
    with pytest.raises(
        CheckpointError, match=r"This is a 3D network \(backbone\.conv1\.conv\.weight is \(64, 3, 7, 7, 1\)\)"
    ):
        import_checkpoint(path, source="mmaction2")


def test_one_mechanism_at_all_sites(tmp_path: Path) -> None:
    network = tsm_resnet()
    path = rewritten(
        networks.save(network, tmp_path / "ckpt.pth.tar"),
        lambda state: {k.replace("layer4.1.conv1.net", "layer4.1.conv1.1"): v for k, v in state.items()},
    )
    with pytest.raises(
        CheckpointError, match=r"one mechanism; the file has tsm at layer1\.0\.conv1, gate at layer4\.1"
    ):
        import_checkpoint(path, source="m2a")


def test_keys_of_a_whole_released_network() -> None:
    ours = convert_state_dict(
        {
            "module.base_model.conv1.weight": torch.zeros(1),
            "module.base_model.layer1.0.conv1.0.conv_down.weight": torch.zeros(3),
            "module.base_model.layer1.0.conv1.0.conv_up.bias": torch.zeros(4),
            "module.base_model.layer1.0.conv1.2.weight": torch.zeros(2),
            "module.new_fc.weight": torch.zeros(5),
        }
    )
    assert {key: len(value) for key, value in ours.items()} == {
        "backbone.conv1.weight": 1,
        "backbone.layer1.0.conv1.mechanism.0.reduce.weight": 3,
        "backbone.layer1.0.conv1.mechanism.0.expand.bias": 4,
        "backbone.layer1.0.conv1.weight": 2,
        "head.weight": 5,
    }


def test_keys_of_one_mechanism() -> None:
    tam = convert_state_dict({"G.0.weight": torch.zeros(1), "L.1.running_mean": torch.zeros(2)}, source="tam")
    assert list(tam) == ["kernel_branch.0.weight", "importance_branch.1.running_mean"]
    assert convert_state_dict({}, source="tsm") == {}


def test_two_networks_in_one_file_are_not_taken_for_one(tmp_path: Path) -> None:
    """Parallel training's keys and others, of which the last would win."""
    state = {f"module.{key}": value for key, value in tsm_resnet().state_dict().items()}
    both = state | {key.removeprefix("module."): torch.zeros_like(value) for key, value in state.items()}
    with pytest.raises(CheckpointError, match=r"The state dict: two keys fall on '.*', with module\. and without"):
        convert_state_dict(both, source="tsm")
    torch.save({"state_dict": both}, tmp_path / "two.pth.tar")
    with pytest.raises(CheckpointError, match=r"two\.pth\.tar: two keys fall on"):
        import_checkpoint(tmp_path / "two.pth.tar", source="tsm", num_frames=4)


def test_the_source_that_a_file_is_of_is_named(tmp_path: Path) -> None:
    torch.save({"state_dict": tsm_resnet().state_dict()}, tmp_path / "tsm.pth.tar")
    with pytest.raises(CheckpointError, match=r"All of it has one as the source (m2a or )?tsm: is it a file of that\?"):
        import_checkpoint(tmp_path / "tsm.pth.tar", source="tam")


def test_what_cannot_be_converted() -> None:
    with pytest.raises(
        ConfigError, match=r'source must be one of "m2a" .*, "tdn" \(MCG-NJU/TDN\), "mma.*; got \'i3d\''
    ):
        convert_state_dict({}, source="i3d")
    head = torch.zeros(1)
    with pytest.raises(CheckpointError, match=r"Two keys of the state dict fall on 'head\.weight'"):
        convert_state_dict({"module.new_fc.weight": head, "module.base_model.fc.weight": head})
    with pytest.raises(CheckpointError, match=r"1 of 2 keys are of no mechanism of gebob19/M2A .*: modules_list\.0\.w"):
        convert_state_dict({"conv_up.bias": head, "modules_list.0.weight": head})
    with pytest.raises(CheckpointError, match=r"2 of 2 keys are of no mechanism of Phoenix1327/tea"):
        convert_state_dict({"conv1.weight": head, "bn1.weight": head}, source="tea")
    with pytest.raises(CheckpointError, match=r"The state dict holds what has no place in m2a:\n  learned shifts \("):
        convert_state_dict({"module.base_model.layer2_bak.0.shift.conv.weight": head}, source="tdn")
    with pytest.raises(
        CheckpointError, match=r"unknown keys \(base_model\.layer1\.0\.conv1\.0\.modules_list\.0\.motion_"
    ):
        convert_state_dict({"base_model.layer1.0.conv1.0.modules_list.0.motion_mod.G.0.weight": head})
