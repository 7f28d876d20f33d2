"""The page itself: one well-formed file that holds all it shows and says what the runs' files say."""

from __future__ import annotations

import ast
import base64
import io
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report_page import Page, assert_self_contained
from run_folders import CEILING, LABELS, PAIRS, confusion_of, evaluation_of, write_demo, write_run

import m2a.reporting
from m2a.errors import ClipShapeError, ConfigError
from m2a.reporting import FilmStrip, Prediction, write_report

HOSTILE = "<script>alert('x')</script> & \"quoted\" <b>"


def frames(number: int = 4, height: int = 16, width: int = 20) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return list(rng.integers(0, 256, (number, height, width, 3), dtype=np.uint8))


def strip(title: str, **changes: object) -> FilmStrip:
    return FilmStrip(**{"title": title, "frames": frames(), **changes})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Folders of three runs: `none`, `tsm` and `m2a`."""
    return write_demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def full(runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Page:
    """A page with everything on it."""
    first, second = PAIRS[0]
    path = write_report(
        runs,
        tmp_path_factory.mktemp("page") / "out" / "report.html",
        title="Motion <first>",
        summary="From **one** start.\n\n- by `m2a demo`",
        strips=[strip(first, caption="clip `7`"), strip(second), strip("Holding something")],
        pairs=PAIRS,
        ceiling=CEILING,
        prediction=Prediction(
            strip=strip("clip 9"),
            truth=second,
            models={"none": [(first, 0.6), ("Holding something", 0.4)], "m2a": [(second, 0.97), (first, 0.03)]},
        ),
        notes=["One seed each."],
        paper={"none": {"gmacs": 14.57, "top1": 13.9}, "m2a": {"gmacs": 14.81, "top1": 34.7, "top5": 63.4}},
    )
    return Page(path.read_text(encoding="utf-8"))


def test_one_file_holds_everything(full: Page) -> None:
    assert_self_contained(full)
    assert len(full.source) < 1.5 * 2**20


def test_sections_and_headings_in_order(full: Page) -> None:
    sections = [attributes["id"] for attributes in full.named("h2")]
    assert sections == [
        "results",
        "clips",
        "example",
        "curves",
        "classes",
        "pairs",
        "confusion",
        "mistakes",
        "skipped",
        "setup",
    ]
    levels = [int(tag[1]) for tag, _ in full.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_numbers_are_those_of_the_files(full: Page, runs: list[Path]) -> None:
    none, tsm, ours = (json.loads((run / "evaluation.json").read_text()) for run in runs)
    gain, cost = ours["top1"] - none["top1"], 100 * (ours["macs"] / none["macs"] - 1)
    assert (
        f"m2a names {ours['top1']:.1f}% of 240 held-out clips, none {none['top1']:.1f}%: "
        f"+{gain:.1f} points for +{cost:.1f}% multiply-adds."
    ) in full.text
    for evaluation in (none, tsm, ours):
        cells = [
            f"{evaluation['macs'] / 1e9:.2f}",
            f"{evaluation['parameters'] / 1e6:.2f}",
            f"{evaluation['top1']:.1f}",
        ]
        assert re.search(".*?".join(map(re.escape, [evaluation["mechanism"], "resnet18", *cells])), full.text)
    assert f"order-blind ceiling {CEILING:.1f}" in full.text


def test_every_figure_has_words(full: Page) -> None:
    images = full.named("img")
    assert len(images) == 4
    assert all(image["alt"] and "4 frames of" in image["alt"] for image in images)
    drawings = full.named("svg")
    assert len(drawings) == 2
    assert all(drawing["role"] == "img" and "m2a ends at" in (drawing["aria-label"] or "") for drawing in drawings)
    assert not re.search(r"#0000[0-9a-f]{2}", full.source), "colours come from the page"


def test_content_given_by_the_caller(full: Page) -> None:
    assert full.text.count("A class and its time reversal") == 1
    assert "Motion <first>" in full.text
    assert "<li>by <code>m2a demo</code></li>" in full.source
    assert "One seed each." in full.text
    assert "truncated <JPEG>" in full.text
    assert "The truth is not among its first 2." in full.text
    assert "97.0%" in full.text
    assert "14.57" in full.text


def test_strips_are_images_of_the_frames(full: Page) -> None:
    source = full.named("img")[0]["src"] or ""
    image = Image.open(io.BytesIO(base64.b64decode(source.split(",")[1])))
    assert image.format == "JPEG"
    assert image.size == (4 * 20 + 3 * 2, 16)


def test_writing_twice_gives_the_same_bytes(runs: list[Path], tmp_path: Path) -> None:
    first, second = (write_report(runs, tmp_path / name, title="t", pairs=PAIRS) for name in ("a.html", "b.html"))
    assert first.read_bytes() == second.read_bytes()


def test_one_run_alone(runs: list[Path], tmp_path: Path) -> None:
    path = write_report(runs[2:], tmp_path, title="One")
    assert path == tmp_path / "report.html"
    page = Page(path.read_text(encoding="utf-8"))
    assert_self_contained(page)
    assert "guessing would name 8.3%." in page.text
    assert "gains over" not in page.text
    assert "Within pairs" not in page.text


def test_bare_evaluation(tmp_path: Path) -> None:
    evaluation = evaluation_of(np.diag([3, 0, 2]), ["a", "b", "c"], top5=None, macs=None)
    run = write_run(tmp_path / "run", evaluation, epochs=0, predictions=False)
    page = Page(write_report([run, run], tmp_path / "r.html", title="Bare", ceiling=50.0).read_text(encoding="utf-8"))
    assert_self_contained(page)
    assert "\u2013" in page.text
    assert not page.named("svg")
    assert "Most confident mistakes" not in page.text


def test_one_epoch_and_no_top1(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", evaluation_of(np.eye(2, dtype=int), ["a", "b"]), epochs=0)
    (run / "metrics.csv").write_text("epoch,train_loss,val_loss,val_top1\n1,2.0,,\n")
    page = Page(write_report([run], tmp_path / "r.html", title="Short", ceiling=50.0).read_text(encoding="utf-8"))
    assert [drawing["aria-label"] for drawing in page.named("svg")] == ["Loss by epoch"]


def test_markup_in_names_is_text(tmp_path: Path) -> None:
    labels = [HOSTILE, "plain"]
    evaluation = evaluation_of(np.array([[1, 2], [1, 3]]), labels, mechanism="<m>", hardware="<cpu>", data="<data>")
    run = write_run(tmp_path / "run", evaluation, config={"<key>": "<value>"})
    path = write_report(
        [run],
        tmp_path / "r.html",
        title=HOSTILE,
        summary=HOSTILE,
        notes=[HOSTILE],
        strips=[strip(HOSTILE, caption=HOSTILE)],
        pairs=[(HOSTILE, "plain")],
    )
    page = Page(path.read_text(encoding="utf-8"))
    assert not page.named("script")
    assert page.text.count(HOSTILE) >= 6
    assert {"<m>", "<cpu>", "<data>", "<key>", "<value>"} <= set(re.findall(r"<\w+>", page.text))


def test_174_classes(tmp_path: Path) -> None:
    labels = [f"Doing thing {i} with something and another thing" for i in range(174)]
    many = [
        write_run(
            tmp_path / name,
            evaluation_of(confusion_of(labels, 3, 0.6, across, seed), labels, mechanism=name),
            predictions=False,
        )
        for seed, (name, across) in enumerate([("none", 0.8), ("m2a", 0.5)])
    ]
    page = Page(write_report(many, tmp_path / "r.html", title="Many").read_text(encoding="utf-8"))
    assert_self_contained(page)
    assert "All 174 classes" in page.text
    assert "Smallest gains and losses" in page.text
    assert "Most frequent confusions of m2a" in page.text
    assert len(page.named("img")) == 2
    assert len(page.source) < 2**20


def test_runs_of_unequal_tests_are_flagged(runs: list[Path], tmp_path: Path) -> None:
    evaluation = evaluation_of(confusion_of(LABELS, 10, 0.9, 0.1), num_frames=4, mechanism="tea")
    other = write_run(tmp_path / "other", evaluation)
    page = Page(write_report([runs[0], other], tmp_path / "r.html", title="t").read_text(encoding="utf-8"))
    assert "not evaluated on the same clips: none on 240 clips" in page.text
    assert "do not see the same input: none 8 frames of 64 pixels and tea 4 frames" in page.text


def test_refusals(runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "r.html"
    with pytest.raises(ConfigError, match=r"ceiling: got 583\.0, expected percent between 0 and 100"):
        write_report(runs, out, title="t", ceiling=583.0)
    with pytest.raises(ConfigError, match=r"no class 'Holding somthing'\. Did you mean 'Holding something'"):
        write_report(runs, out, title="t", pairs=[("Holding somthing", LABELS[0])])
    with pytest.raises(ClipShapeError, match="has no frames"):
        write_report(runs, out, title="t", strips=[strip("x", frames=[])])
    with pytest.raises(ClipShapeError, match=r"frame 0: got \(3, 16, 20\) uint8, expected \(H, W, 3\)"):
        write_report(runs, out, title="t", strips=[strip("x", frames=[np.zeros((3, 16, 20), np.uint8)])])
    with pytest.raises(ClipShapeError, match=r"frame 1: got \(8, 8, 3\) after \(16, 20, 3\)"):
        write_report(runs, out, title="t", strips=[strip("x", frames=[frames()[0], frames(1, 8, 8)[0]])])
    assert not out.exists()


def test_imports_no_other_part_and_no_torch() -> None:
    for path in Path(m2a.reporting.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert not name.startswith("torch"), path
                assert not name.startswith("m2a") or name.startswith(("m2a.reporting", "m2a.errors")), path
                assert "pyplot" not in name, path
