"""Comparing runs, probing them and writing their page again, by the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command import LABELS, Outcome, tiny

from full_disk import files_of_at_most
from m2a.models import load
from m2a.reporting import Run
from m2a.training.config import TrainConfig
from m2a.workflows.explain import known_truth
from m2a.workflows.report_page import paper_figures

Command = Callable[..., Outcome]


@pytest.fixture(scope="module")
def other(m2a: Command, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second run on the same clips, without a mechanism."""
    folder = tmp_path_factory.mktemp("runs") / "none"
    outcome = m2a("train", "--config", trained / "config.yaml", "--out", folder, *tiny(mechanism="none"))
    assert outcome.code == 0, outcome.err
    return folder


@pytest.fixture
def own(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run, to write into."""
    return shutil.copytree(trained, tmp_path / "run")


def test_compare(m2a: Command, trained: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = m2a("compare", other, trained)
    assert outcome.code == 0, outcome.err
    for part in ("m2a against none", "On the same 6 clips m2a names", "written: comparison.png", "kind of class"):
        assert part in " ".join(outcome.out.split())
    assert (tmp_path / "comparison.png").stat().st_size > 10_000
    plain = json.loads(m2a("compare", other, trained, "--json", "--resamples", 200).out)
    assert (plain["baseline"], plain["num_clips"], plain["resamples"]) == ("none", 6, 200)
    assert {row["label"] for row in plain["classes"]} == set(LABELS)
    assert "takes two runs or more; got 1" in m2a("compare", other).message
    assert "A picture is a .png; got --out a.html" in m2a("compare", other, trained, "--out", "a.html").message
    (tmp_path / "comparison.png").write_bytes(b"a holiday picture")
    outcome = m2a("compare", other, trained)
    assert outcome.code == 1
    assert "comparison.png is there already and was not written by m2a; nothing is overwritten" in outcome.message
    assert (tmp_path / "comparison.png").read_bytes() == b"a holiday picture"


def test_compare_over_seeds(
    m2a: Command, trained: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    again = shutil.copytree(trained, tmp_path / "again")
    TrainConfig.load(trained / "config.yaml", seed=1).save(again / "config.yaml")
    outcome = m2a("compare", other, trained, again, "--over-seeds")
    assert outcome.code == 0, outcome.err
    told = " ".join(outcome.out.split())
    assert "points with one seed in common, which says nothing about another" in told
    assert "the 95% interval over seeds (Student's t), of what another training would change" in told
    plain = json.loads(m2a("compare", other, trained, again, "--over-seeds", "--json").out)
    assert [(one["name"], list(one["runs"]), one["seeds_in_common"]) for one in plain] == [
        ("none", ["0"], []),
        ("m2a", ["0", "1"], [0]),
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["again"]
    assert "draws no picture" in m2a("compare", other, trained, "--over-seeds", "--out", "a.png").message


def test_compare_where_clips_are_of_one_recording(m2a: Command, own: Path, other: Path, tmp_path: Path) -> None:
    path = own / "evaluation.json"
    clips = [row.clip for row in Run.load(own).predictions]
    groups = dict.fromkeys(clips[:3], "one") | dict.fromkeys(clips[3:], "two")
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"groups": groups}), encoding="utf-8")
    outcome = m2a("compare", other, own, "--out", tmp_path / "c.png", "--resamples", 100)
    assert outcome.code == 0, outcome.err
    told = " ".join(outcome.out.split())
    assert "On the same 6 clips of 2 recordings m2a names" in told
    assert "whole recordings are drawn" in told
    assert "classes the clips are of fewer than 10 recordings" in told
    plain = json.loads(m2a("compare", other, own, "--json", "--resamples", 100).out)
    assert plain["num_groups"] == plain["overall"][0]["groups"] == 2


def test_probes(m2a: Command, own: Path, video_set: Path) -> None:
    outcome = m2a("evaluate", own, "--probes", "--workers", 0, "--device", "cpu")
    assert outcome.code == 0, outcome.err
    words = " ".join(outcome.out.split())
    for part in ("shuffled", "reversed", "still", "Shuffling the frames", "Of 4 clips whose label has a partner"):
        assert part in words
    written = json.loads((own / "evaluation.json").read_text())["probes"]
    assert [row["probe"] for row in written["rows"]] == ["as filmed", "shuffled", "reversed", "still"]
    assert m2a("report", own).code == 0
    assert "How much of it is motion" in (own / "report.html").read_text(encoding="utf-8")


def test_a_report_is_written_again_with_heat(m2a: Command, own: Path) -> None:
    before = (own / "report.html").read_text(encoding="utf-8")
    outcome = m2a("report", own, "--heat", "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out) == {"report": str(own / "report.html")}
    page = (own / "report.html").read_text(encoding="utf-8")
    assert "where the network finds what speaks for" in page
    assert "where the network finds what speaks for" not in before
    assert before.count("<img") == page.count("<img") > len(LABELS), "clips of each class, and mistakes"
    assert "order-blind ceiling" in page, "the set was drawn, so the ceiling is known"
    shutil.rmtree(own / "model")
    assert "has no model/, which --heat explains" in m2a("report", own, "--heat").message


def test_heat_of_an_evaluation_is_of_the_model_that_was_evaluated(
    m2a: Command, trained: Path, video_set: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    assert m2a("evaluate", trained / "model", "--data", video_set, "--out", results, "--device", "cpu").code == 0
    outcome = m2a("report", results, "--heat")
    assert outcome.code == 0, outcome.err
    assert "where the network finds what speaks for" in (results / "report.html").read_text(encoding="utf-8")
    evaluation = json.loads((results / "evaluation.json").read_text())
    (results / "evaluation.json").write_text(json.dumps(evaluation | {"model": str(tmp_path / "model.onnx")}))
    assert "model.onnx, an exported file: it gives scores and no gradients" in m2a("report", results, "--heat").message


def test_a_report_on_a_full_disk_is_the_one_before(m2a: Command, own: Path) -> None:
    before = (own / "report.html").read_bytes()
    with files_of_at_most(len(before) // 2):
        outcome = m2a("report", own)
    assert outcome.code == 1
    assert (own / "report.html").read_bytes() == before
    assert not list(own.glob("*.part"))
    (own / "report.html").write_bytes(b"")  # nothing of anybody's is in it
    assert m2a("report", own).code == 0
    assert "<html" in (own / "report.html").read_text(encoding="utf-8")


def test_a_report_of_several_runs(m2a: Command, trained: Path, other: Path, tmp_path: Path) -> None:
    outcome = m2a("report", other, trained, "--out", tmp_path)
    assert outcome.code == 0, outcome.err
    page = (tmp_path / "comparison.html").read_text(encoding="utf-8")
    assert "What each class gains" in page
    mine = tmp_path / "mine.html"
    mine.write_text("my page")
    assert "mine.html is there already and was not written by m2a" in m2a("report", trained, "--out", mine).message
    assert mine.read_text() == "my page"
    assert "Got no runs to report about" in m2a("report").message


def test_the_papers_figures_stand_beside_runs_of_its_networks() -> None:
    unknown = {"folder": Path("run"), "num_clips": 0, "top1": None, "labels": (), "per_class": (), "confusion": ()}
    plain = Run(mechanism="m2a-motion", backbone="resnet18", **unknown)
    inflated = Run(mechanism="m2a", backbone="resnet18", inflate=True, **unknown)
    other = Run(mechanism="m2a", backbone="resnet10t", **unknown)
    assert paper_figures([plain, other]) == {
        "I/none (resnet18)": {"gmacs": 14.57, "top1": 13.9, "top5": 38.9},
        "I/m2a-motion (resnet18)": {"gmacs": 14.79, "top1": 28.9, "top5": 56.7},
    }
    assert paper_figures([Run(mechanism="m2a-plus", backbone="resnet18", **unknown)]) == {}  # not the paper's
    assert list(paper_figures([inflated])) == [
        "III/none (resnet18 inflated (I3D))",
        "III/m2a (resnet18 inflated (I3D))",
    ]


def test_a_run_on_one_table_of_several(m2a: Command, own: Path, video_set: Path, tmp_path: Path) -> None:
    """Its data is the table, and its evaluation names the folder that the clips are in."""
    root = shutil.copytree(video_set, tmp_path / "tables")
    paths = [clip.relative_to(root) for clip in sorted(root.rglob("*.mp4"))]
    rows = [f"{path},{path.parent.name},{path.parts[0]}" for path in paths]
    for name in ("a", "b"):
        (root / f"{name}.csv").write_text("\n".join(["path,label,split", *rows]) + "\n")
    TrainConfig.load(own / "config.yaml", data=root / "a.csv").save(own / "config.yaml")
    assert m2a("evaluate", own, "--workers", 0).code == 0
    assert json.loads((own / "evaluation.json").read_text())["data"] == str(root)
    outcome = m2a("report", own)
    assert outcome.code == 0, outcome.err
    assert "No film strips" not in outcome.message
    assert "<img" in (own / "report.html").read_text(encoding="utf-8")
    other = tmp_path / "evaluated"
    assert m2a("evaluate", own / "model", "--data", root / "b.csv", "--out", other, "--workers", 0).code == 0
    assert "No film strips" not in m2a("report", other).message
    assert "<img" in (other / "report.html").read_text(encoding="utf-8")
    moved = shutil.move(root / "validation" / LABELS[0], root / "others")
    video = next(Path(moved).glob("*.mp4"))
    rows = [row for row in rows if row.endswith(",train")] + [f"{video.relative_to(root)},{LABELS[0]},validation"]
    (root / "a.csv").write_text("\n".join(["path,label,split", *rows]) + "\n")
    assert known_truth(video, load(own / "model"), str(own / "model")) == LABELS[0]
    other = root / LABELS[1] / "other.mp4"  # in a folder of another label than the list's
    other.parent.mkdir()
    shutil.move(video, other)
    rows[-1] = f"{other.relative_to(root)},{LABELS[0]},validation"
    (root / "a.csv").write_text("\n".join(["path,label,split", *rows]) + "\n")
    assert known_truth(other, load(own / "model"), str(own / "model")) == LABELS[0]


def test_a_report_without_the_clips(m2a: Command, own: Path, own_videos: Path) -> None:
    config = (own / "config.yaml").read_text()
    evaluation = json.loads((own / "evaluation.json").read_text())
    (own / "config.yaml").write_text(config.replace(str(evaluation["data"]), str(own_videos)))
    evaluation["data"] = str(own_videos)
    (own / "evaluation.json").write_text(json.dumps(evaluation))
    gone = sorted((own_videos / "validation").rglob("*.mp4"))[0]
    gone.unlink()
    outcome = m2a("report", own)
    assert outcome.code == 0, outcome.err
    assert "1 of the 6 clips that `m2a` was tested on are gone from" in outcome.message
    shutil.rmtree(own_videos)
    outcome = m2a("report", own)
    assert outcome.code == 0, outcome.err
    assert "No film strips of `m2a`: the clips it was tested on cannot be read any more." in outcome.message
    page = (own / "report.html").read_text(encoding="utf-8")
    assert "the clips it was tested on cannot be read any more" in page
    assert "<img" not in page
