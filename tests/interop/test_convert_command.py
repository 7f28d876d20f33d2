"""`m2a convert`, from a file to a folder that m2a.load takes."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest
import source_networks as networks
import torch
import torchvision
from torch import nn

import m2a
from m2a.cli import main

NAMES = ("Turning", "Moving something up", "Moving something down", "Closing", "Opening")


def run(*arguments: object) -> tuple[int, str, str]:
    """Exit status, stdout, and stderr on one line."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(["convert", *map(str, arguments)])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
    return code, out.getvalue(), " ".join(err.getvalue().split())


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return networks.trained(networks.Consensus(networks.shifted_resnet(torchvision.models.resnet18())))


@pytest.fixture(scope="module")
def folder(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of TSM and files of labels. Not to be changed."""
    folder = tmp_path_factory.mktemp("released")
    networks.save(network, folder / "ckpt.pth.tar")
    (folder / "category.txt").write_text("\n".join(NAMES))
    (folder / "labels.csv").write_text("\n".join(NAMES))
    return folder


@torch.no_grad()
def test_convert_and_load(network: nn.Module, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    code, printed, err = run(
        folder / "ckpt.pth.tar", "--source", "tsm", "--labels", folder / "category.txt", "--num-frames", 4, "--out", out
    )
    assert code == 0, err
    assert printed.splitlines()[0] == 'tsm: resnet18 with "tsm" at 8 sites, 4 frames, 5 classes; 122 tensors placed'
    assert "  assumed: 1/8 of the channels is shifted each way" in printed
    assert "in the file's order: 0 'Turning', 1 'Moving something up', 2 'Moving something down', ..." in printed
    assert f"next: m2a predict VIDEO --model {out}" in printed
    model = m2a.load(out)
    assert model.labels == NAMES
    clips = torch.randn(2, 4, 3, 64, 64)
    torch.testing.assert_close(model(clips), network(clips), atol=1e-5, rtol=1e-5)

    code, _, err = run(folder / "ckpt.pth.tar", "--source", "tsm", "--labels", folder / "category.txt", "--out", out)
    assert code == 1
    assert f"{out} is there and not empty" in err


@torch.no_grad()
def test_another_order_of_the_classes(network: nn.Module, folder: Path, tmp_path: Path) -> None:
    """V1's labels, which the projects sort, into the order of the file's lines, which is m2a's own."""
    out = tmp_path / "model"
    out.mkdir()
    csv = folder / "labels.csv"
    code, printed, err = run(
        folder / "ckpt.pth.tar", "--source", "tsm", "--labels", csv, "--class-order", csv, "--num-frames", 4, "--json",
        "--out", out,
    )  # fmt: skip
    assert code == 0, err
    report = json.loads(printed)
    assert report["labels"] == {"order": "sorted", "first": sorted(NAMES)[:3], "classes": list(NAMES)}
    assert report["complete"] is True
    assert (report["backbone"], report["mechanism"], report["placed"]) == ("resnet18", "tsm", 122)
    model = m2a.load(out)
    assert model.labels == NAMES
    clips = torch.randn(1, 4, 3, 64, 64)
    theirs = dict(zip(sorted(NAMES), network(clips)[0].tolist(), strict=True))
    ours = dict(zip(NAMES, model(clips)[0].tolist(), strict=True))
    assert ours == pytest.approx(theirs, abs=1e-4)


def test_a_network_with_parts_of_its_own(tmp_path: Path) -> None:
    networks.save(networks.Consensus(networks.Res2Net()), tmp_path / "tea.pth.tar")
    (tmp_path / "category.txt").write_text("\n".join(NAMES))
    command = [tmp_path / "tea.pth.tar", "--source", "tea", "--labels", tmp_path / "category.txt"]
    code, _, err = run(*command, "--out", tmp_path / "model")
    assert code == 1
    assert "motion excitation (base_model.layer1.0.me.conv1.weight and 207 more)" in err
    assert "--allow-unplaced" in err
    assert not (tmp_path / "model").exists()
    code, printed, err = run(*command, "--allow-unplaced", "--out", tmp_path / "model")
    assert code == 0, err
    assert 'res2net50_26w_4s with "none"' in printed
    assert "it is not the source's network and will not have its accuracy" in printed
    assert m2a.load(tmp_path / "model").num_classes == networks.CLASSES


def test_labels_that_do_not_fit(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "few.txt").write_text("a\nb\n")
    code, _, err = run(
        folder / "ckpt.pth.tar", "--source", "tsm", "--labels", tmp_path / "few.txt", "--out", tmp_path / "model"
    )
    assert code == 1
    assert f"{tmp_path / 'few.txt'} holds 2 labels, and the checkpoint's head has 5 classes" in err
    code, _, err = run(
        folder / "ckpt.pth.tar", "--source", "tsm", "--labels", folder / "category.txt", "--class-order",
        tmp_path / "few.txt", "--out", tmp_path / "model",
    )  # fmt: skip
    assert code == 1
    assert "The two orders are not of the same 5 classes: 'Turning', 'Moving something up'" in err
    assert not (tmp_path / "model").exists()
