"""What a run is measured on: its own clips, all of a set that has no splits, and none that it was trained on unsaid."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from tiny_runs import options, silent

from m2a.errors import ConfigError, DataError
from m2a.reporting import write_report
from m2a.workflows.report_page import report
from m2a.workflows.run import evaluate_run, train


def write_set(root: Path, names: dict[str, int]) -> Path:
    """Folders of frames, so many in each class."""
    for label, count in names.items():
        for number in range(count):
            folder = root / label / f"{number}"
            folder.mkdir(parents=True)
            for frame in range(5):
                pixels = np.random.default_rng([number, frame]).integers(0, 255, (24, 24, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{frame}.jpg")
    return root


def split(root: Path, validation: set[int]) -> None:
    with (root / "split.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "split"])
        for folder in sorted(root.glob("*/*")):
            side = "validation" if int(folder.name) in validation else "train"
            rows.writerow([folder.relative_to(root).as_posix(), folder.parent.name, side])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluating")
    data = write_set(folder / "clips", {"open": 7, "close": 5})
    split(data, {0, 1})
    train(options(data, folder / "run", epochs=1), console=silent())
    return folder / "run"


def measured(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "evaluation.json").read_text())


def test_a_set_without_splits_is_measured_on_whole(run: Path, tmp_path: Path) -> None:
    other = write_set(tmp_path / "other", {"open": 3, "close": 2})
    evaluate_run(run, data=other, out=tmp_path / "out", workers=0, console=silent())
    assert (measured(tmp_path / "out")["num_clips"], measured(tmp_path / "out")["split"]) == (5, "all")
    one = write_set(tmp_path / "one", {"close": 1})
    evaluate_run(run / "model", data=one, out=tmp_path / "alone", workers=0, console=silent())
    assert measured(tmp_path / "alone")["num_clips"] == 1
    evaluate_run(run, data=other, split="validation", out=tmp_path / "held", workers=0, console=silent())
    assert measured(tmp_path / "held")["num_clips"] < 5


def test_a_set_that_has_a_validation_split_alone(run: Path, tmp_path: Path) -> None:
    """Whether or not it is asked for by name; and its page has its clips."""
    other = write_set(tmp_path / "other" / "validation", {"open": 2}).parent
    for name, asked in (("named", "validation"), ("not", None)):
        evaluate_run(run, data=other, split=asked, out=tmp_path / name, workers=0, console=silent())
        assert (measured(tmp_path / name)["num_clips"], measured(tmp_path / name)["split"]) == (2, "validation")
    told = Console(file=io.StringIO(), width=1000)
    report([tmp_path / "named"], console=told)
    assert isinstance(told.file, io.StringIO)
    assert "No film strips" not in told.file.getvalue()
    with pytest.raises(DataError, match="has no training clip"):
        evaluate_run(run, data=other, split="train", out=tmp_path / "none", workers=0, console=silent())


def test_a_network_that_cannot_be_counted_is_measured(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_counted(*_: Any, **__: Any) -> int:
        raise ConfigError("cannot be counted")

    monkeypatch.setattr("m2a.workflows.run.count_macs", not_counted)
    evaluate_run(run, split="all", out=tmp_path / "all", workers=0, console=silent())
    assert (measured(tmp_path / "all")["num_clips"], measured(tmp_path / "all")["macs"]) == (12, None)
    report([tmp_path / "all"], console=silent())


def test_the_runs_own_data_by_its_name_is_measured_on_as_the_run_did(run: Path, tmp_path: Path) -> None:
    evaluate_run(run / "model", data=run.parent / "clips", out=tmp_path / "out", workers=0, console=silent())
    assert (measured(tmp_path / "out")["num_clips"], measured(tmp_path / "out")["split"]) == (4, "validation")
    evaluate_run(run, split="all", out=tmp_path / "all", workers=0, console=silent())
    assert (measured(tmp_path / "all")["num_clips"], measured(tmp_path / "all")["num_trained_on"]) == (12, 8)


def test_clips_that_it_was_trained_on_do_not_replace_its_results(run: Path, tmp_path: Path) -> None:
    before = (run / "evaluation.json").read_bytes()
    split(run.parent / "clips", {1, 2})
    try:
        with pytest.raises(DataError, match=r"was trained on 2 of the 4 clips that it is measured on.*--out"):
            evaluate_run(run, workers=0, console=silent())
        console = silent()
        evaluate_run(run, out=tmp_path / "out", workers=0, console=console)
        assert "was trained on 2 of the 4 clips that it is measured on" in console.file.getvalue()
        assert measured(tmp_path / "out")["num_trained_on"] == 2
        page = write_report([tmp_path / "out"], tmp_path / "page.html", title="t").read_text(encoding="utf-8")
        assert "was trained on 2 of the 4 clips that it was measured on" in page
        assert "held-out" not in page
    finally:
        split(run.parent / "clips", {0, 1})
    assert (run / "evaluation.json").read_bytes() == before


def test_the_same_files_by_another_name_are_told(run: Path, tmp_path: Path) -> None:
    """A list of the folder that the run was trained on; and files of the same names elsewhere are others."""
    table, clips = tmp_path / "list.csv", sorted((run.parent / "clips").glob("*/*"))
    table.write_text("path,label\n" + "".join(f"{clip},{clip.parent.name}\n" for clip in clips))
    console = silent()
    evaluate_run(run / "model", data=table, out=tmp_path / "out", workers=0, console=console)
    assert measured(tmp_path / "out")["num_clips"] == 12
    assert "was trained on 8 of the 12 clips that it is measured on" in console.file.getvalue()
    other, console = write_set(tmp_path / "other", {"open": 7, "close": 5}), silent()
    evaluate_run(run, data=other, out=tmp_path / "elsewhere", workers=0, console=console)
    assert "trained on" not in console.file.getvalue()


def test_the_precision_is_said_and_another_does_not_replace_the_runs_own(run: Path, tmp_path: Path) -> None:
    assert measured(run)["precision"] == "32"
    with pytest.raises(ConfigError, match=r"Name a folder for the results with --out"):
        evaluate_run(run, bf16=True, workers=0, console=silent())
    evaluate_run(run, bf16=True, out=tmp_path / "out", workers=0, console=silent())
    assert measured(tmp_path / "out")["precision"] == "bf16"
