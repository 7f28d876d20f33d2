"""Labels and file names as people have them: brackets, colons and dollars are printed and drawn as they are."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command import LABELS, Outcome, tiny
from rich.console import Console

from m2a.workflows.run import read_set

Command = Callable[..., Outcome]
NAMES = ("Putting [something] in", "door [/open] :100:", "win $5 and _$6^")
"""Markup that vanishes; markup that closes what is not open, and the code of an emoji; mathematics of matplotlib."""


@pytest.fixture(scope="module")
def named_set(video_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of clips with such labels and paths."""
    root = tmp_path_factory.mktemp("sets") / "a [set] of $2"
    root.mkdir()
    rows = []
    for number, video in enumerate(sorted(video_set.rglob("*.mp4"))):
        name = f"take:100: [b] {number} [dQw4w9].mp4"
        shutil.copy(video, root / name)
        label = NAMES[LABELS.index(video.parent.name)]
        rows.append([name, label, video.parent.parent.name])
    with (root / "clips.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "split"], *rows])
    return root


@pytest.fixture(scope="module")
def runs(m2a: Command, named_set: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run on that set, and a copy of it that says something else of its first clip."""
    folder = tmp_path_factory.mktemp("runs") / "run [a]"
    outcome = m2a("train", "--data", named_set, "--out", folder, *tiny(), "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.message.startswith(f"{named_set}: csv, 3 classes")
    assert json.loads(outcome.out)["folder"] == str(folder)
    other = shutil.copytree(folder, folder.with_name("run [b]"))
    with (other / "predictions.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    rows[1][2] = next(name for name in NAMES if name not in rows[1][1:3])
    with (other / "predictions.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder, other


def words(outcome: Outcome) -> str:
    """What was printed, on one line; cells of a table that were wrapped are put together."""
    assert outcome.code == 0, outcome.err
    return " ".join(outcome.out.split())


def squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("m2a.cli.output.CONSOLE._width", 400)


def test_predict(m2a: Command, named_set: Path, runs: tuple[Path, Path], tmp_path: Path) -> None:
    one, two, *_ = sorted(named_set.glob("*.mp4"))
    shown = words(m2a("predict", one, "--model", runs[0]))
    assert all(name in shown for name in NAMES)
    assert squeezed(str(one)) in squeezed(shown)  # over a table a path is broken where it must be
    assert words(m2a("predict", one, two, "--model", runs[0])).count("[b]") == 2
    answers = json.loads(m2a("predict", one, "--model", runs[0], "--json").out)
    assert answers[0]["path"] == str(one)
    assert {guess["label"] for guess in answers[0]["top"]} == set(NAMES)
    flags = ("--model", runs[0], "--sliding", "--window", 0.4)
    shown = words(m2a("predict", one, *flags, "--picture", tmp_path / "$a_.png"))
    assert squeezed(str(one)) in squeezed(shown)
    assert any(name in shown for name in NAMES)


def test_evaluate(m2a: Command, runs: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out [x]"
    shown = words(m2a("evaluate", runs[0], "--out", out, "--workers", 0))
    assert all(name in shown for name in (*NAMES, f"written: {out}"))


def test_explain(m2a: Command, named_set: Path, runs: tuple[Path, Path], tmp_path: Path) -> None:
    video, out = next(named_set.glob("*.mp4")), tmp_path / "seen [x].png"
    shown = words(m2a("explain", video, "--model", runs[0], "--out", out, "--truth", NAMES[0]))
    assert all(part in shown for part in (str(video), f"It shows: {NAMES[0]}", f"wrote {out}"))
    assert any(verdict in shown for verdict in ("right", "wrong"))
    assert "[green]" not in shown


def test_compare_and_report(m2a: Command, runs: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "both [x].png"
    shown = words(m2a("compare", *runs, "--out", out, "--resamples", 100))
    assert all(part in shown for part in (*NAMES, "run [b]", "run [a]", f"written: {out}"))
    page = tmp_path / "page [x].html"
    assert f"written: {page}" in words(m2a("report", *runs, "--out", page))


def test_data_commands(m2a: Command, named_set: Path, tmp_path: Path) -> None:
    page = tmp_path / "a [b].html"
    assert f"written: {page}" in words(m2a("data", "stats", named_set, "--out", page, "--workers", 1))
    shown = words(m2a("data", "check", named_set, "--out", tmp_path / "c [d]", "--workers", 1))
    assert all(part in shown for part in (*NAMES, str(named_set), str(tmp_path / "c [d]")))


def test_what_a_terminal_would_obey_is_shown(m2a: Command, video_set: Path, trained: Path, tmp_path: Path) -> None:
    """In a table, in an error, and in a picture, with a name that is not UTF-8 besides."""
    name = os.fsencode(tmp_path) + b"/a\x1b[31mb\xff.mp4"
    shutil.copy(next(video_set.rglob("*.mp4")), name)
    video, out = Path(os.fsdecode(name)), tmp_path / "out.png"
    for outcome in (
        m2a("predict", video, "--model", trained / "model"),
        m2a("predict", video, "--model", trained / "model", "--sliding", "--picture", tmp_path / "line.png"),
        m2a("explain", video, "--model", trained / "model", "--out", out),
    ):
        assert "a\\x1b[31mb" in squeezed(words(outcome))
        assert "\x1b" not in outcome.out
    assert out.exists()
    gone = m2a("predict", tmp_path / "b\x1b[31m.mp4", "--model", trained / "model")
    assert gone.code == 1
    assert "b\\x1b[31m.mp4" in squeezed(gone.err)
    assert "\x1b[31m.mp4" not in gone.err


def test_a_users_own_console(named_set: Path) -> None:
    """Functions of the library print into any console."""
    said = io.StringIO()
    read_set(named_set, "auto", "error", Console(file=said, width=400))
    assert str(named_set) in said.getvalue()


def test_a_set_whose_name_is_no_utf8(
    m2a: Command, own_videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The curves cannot be kept under such a name."""
    data = own_videos.rename(tmp_path / os.fsdecode(b"caf\xe9 [1]"))
    monkeypatch.chdir(tmp_path)
    refused = m2a("train", "--data", data, "--out", os.fsdecode(b"r\xe9"), *tiny())
    assert refused.code == 1
    assert "out must be UTF-8, which TensorBoard's curves need" in refused.message
    trained = m2a("train", "--data", data, *tiny())
    assert trained.code == 0, trained.err
    run = tmp_path / "runs" / "caf_ [1]-resnet10t-m2a"
    assert (run / "report.html").is_file()
    assert m2a("evaluate", run, "--workers", 0).code == 0


def test_doctor_marks_its_checks(m2a: Command) -> None:
    shown = m2a("doctor").out
    assert shown.startswith("ok     versions: ")
