"""The page itself: one well-formed file that holds all it shows and says what the runs' files say."""

from __future__ import annotations

import ast
import base64
import html
import io
import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report_page import Page, assert_self_contained
from run_folders import CEILING, LABELS, PAIRS, confusion_of, evaluation_of, write_demo, write_guesses, write_run

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
        "comparison",
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


def test_differences_are_to_the_run_without_a_mechanism_wherever_it_stands(runs: list[Path], tmp_path: Path) -> None:
    """Its own row has none; the first row has one."""
    none, tsm, ours = (json.loads((run / "evaluation.json").read_text())["top1"] for run in runs)
    source = write_report([runs[2], runs[0], runs[1]], tmp_path, title="page").read_text(encoding="utf-8")
    table = source[source.index('aria-label="Table of results"') :]
    rows = re.findall(r"<tr><th.*?</tr>", table[: table.index("</table>")])
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row)[-1] for row in rows if 'scope="row"' in row]
    assert cells == [f"+{ours - none:.1f}", "", f"+{tsm - none:.1f}"]
    assert "Difference: top-1 points to none, taken before rounding." in source


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
    ours = ("m2a.reporting", "m2a.errors", "m2a.estimate", "m2a.wording", "m2a.writing")
    for path in Path(m2a.reporting.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert not name.startswith("torch"), path
                assert not name.startswith("m2a") or name.startswith(ours), path
                assert "pyplot" not in name, path


PROBES = {
    "rows": [
        {"probe": "as filmed", "definition": "in order", "top1": 80.0, "top1_low": 70.0, "top1_high": 88.0},
        {"probe": "shuffled", "definition": "in a random order", "top1": 31.5, "top1_low": None, "top1_high": None},
    ],
    "reading": "Shuffling takes 48.5 of 80.0%.",
    "reversals": {"reading": "Of 40 clips 90.0% are called the partner."},
}  # fmt: skip


@pytest.fixture
def compared(tmp_path: Path) -> list[Path]:
    """Two runs on the same 60 clips, probed, the second of which names its first class worse."""
    labels = LABELS[:6]
    before = [(label, labels[number % 6]) for label in labels for number in range(10)]
    after = [(label, label if label != labels[0] else labels[1]) for label in labels for _ in range(10)]
    return [
        write_guesses(tmp_path / name, guesses, labels, mechanism=name, probes=PROBES)
        for name, guesses in (("none", before), ("m2a", after))
    ]


def test_runs_of_the_same_clips_are_compared(compared: list[Path], tmp_path: Path) -> None:
    page = Page(write_report(compared, tmp_path / "r.html", title="t").read_text(encoding="utf-8"))
    assert_self_contained(page)
    assert "On the same 60 clips m2a names 83.3%" in page.text
    assert "McNemar's exact test): more than chance." in page.text
    assert "5 of 6 classes gain (5 with an interval above zero), 1 loses (0 below)." in page.text
    assert f"{LABELS[0]} 20 \u2192 0% \u221220.0 points, interval \u221250.0 to 0.0, 10 clips" in page.text
    assert "camera motion (2)" in page.text
    assert "Confusions that moved most" in page.text
    backwards = Page(write_report(compared[::-1], tmp_path / "b.html", title="t").read_text(encoding="utf-8"))
    assert "On the same 60 clips m2a names 83.3%" in backwards.text, "`none` is what is compared with in any order"


def test_probes_are_shown_with_their_reading(compared: list[Path], tmp_path: Path) -> None:
    page = Page(write_report(compared[1:], tmp_path / "r.html", title="t").read_text(encoding="utf-8"))
    assert_self_contained(page)
    assert "How much of it is motion" in page.text
    for part in ("shuffled in a random order m2a 31.5%", "m2a: Shuffling takes 48.5 of 80.0%.", "called the partner."):
        assert part in page.text
    assert "probes" not in [attributes["id"] for attributes in Page(_bare(tmp_path)).named("h2")]


def _bare(folder: Path) -> str:
    run = write_run(folder / "bare", evaluation_of(np.eye(2, dtype=int), ["a", "b"]))
    return write_report([run], folder / "bare.html", title="t").read_text(encoding="utf-8")


def test_runs_without_predictions_are_no_comparison(compared: list[Path], tmp_path: Path) -> None:
    (compared[1] / "predictions.csv").unlink()
    page = Page(write_report(compared, tmp_path / "r.html", title="t").read_text(encoding="utf-8"))
    assert "The runs are not compared clip by clip: not all of them have their predictions." in page.text


def test_other_clips_are_no_comparison(compared: list[Path], tmp_path: Path) -> None:
    text = (compared[1] / "predictions.csv").read_text(encoding="utf-8")
    head, *rows = text.splitlines()
    (compared[1] / "predictions.csv").write_text("\n".join([head, *(f"x{row}" for row in rows)]), encoding="utf-8")
    page = Page(write_report(compared, tmp_path / "r.html", title="t").read_text(encoding="utf-8"))
    assert "The runs are not compared clip by clip:" in page.text
    assert "have no clip in common" in page.text
    assert "comparison" not in [attributes["id"] for attributes in page.named("h2")]


def test_the_surest_mistakes_have_strips_with_heat(compared: list[Path], tmp_path: Path) -> None:
    mistake = strip(LABELS[0], overlay=frames(), overlay_shows="where it is hot", caption=f"called **{LABELS[1]}**")
    page = Page(
        write_report(compared, tmp_path / "r.html", title="t", mistakes=[{}, {"3": mistake, "59": mistake}]).read_text(
            encoding="utf-8"
        )
    )
    assert_self_contained(page)
    (image,) = page.named("img")  # clip 59 is named rightly
    assert image["alt"] == (
        f"4 frames of \u201c{LABELS[0]}\u201d, in the order of time from left to right; below them where it is hot"
    )
    drawn = Image.open(io.BytesIO(base64.b64decode((image["src"] or "").split(",")[1])))
    assert drawn.size == (4 * 20 + 3 * 2, 2 * 16 + 2)
    with pytest.raises(ClipShapeError, match=r"has 4 frames and 3 overlays\. Give one for each frame, or none"):
        write_report(compared, tmp_path / "r.html", title="t", strips=[strip("x", overlay=frames(3))])
    with pytest.raises(ClipShapeError, match=r"frame 4: got \(8, 8, 3\) after \(16, 20, 3\)"):
        write_report(compared, tmp_path / "r.html", title="t", strips=[strip("x", overlay=frames(4, 8, 8))])


def test_many_classes_are_a_profile_with_named_ends(tmp_path: Path) -> None:
    labels = [f"Class {number}" for number in range(60)]
    runs = []
    for name, step in (("none", 2), ("m2a", 1)):
        guesses = [(label, labels[(number * step) % 60]) for number, label in enumerate(labels)]
        runs.append(write_guesses(tmp_path / name, guesses, labels, mechanism=name))
    page = Page(write_report(runs, tmp_path / "r.html", title="t").read_text(encoding="utf-8"))
    assert_self_contained(page)
    (profile,) = [drawing for drawing in page.named("svg") if "profile" in (drawing.get("class") or "")]
    assert profile["aria-label"] == "All 60 classes by difference, from +100.0 to 0.0 points"
    assert "The 12 largest gains" in page.text


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_nothing_overflows_on_a_phone(compared: list[Path], tmp_path: Path) -> None:
    """A frame of 390 px around the page: Chromium's own window has a least width."""
    page = write_report(compared, tmp_path / "r.html", title="A title of several words", pairs=[], ceiling=50.0)
    told = "`${page.scrollWidth} of ${page.clientWidth} pixels`"
    probe = f"const page = document.querySelector('iframe').contentDocument.documentElement; document.title = {told}"
    outer = tmp_path / "outer.html"
    outer.write_text(
        f'<iframe style="width:390px;height:800px;border:0" srcdoc="{html.escape(page.read_text(encoding="utf-8"))}">'
        f'</iframe><script>onload = () => {{ {probe} }}</script>',
        encoding="utf-8",
    )  # fmt: skip
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
        "--disable-sync", "--no-first-run", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", outer.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    wide, room = re.findall(r"<title>(\d+) of (\d+) pixels</title>", done.stdout)[0]
    assert 350 < int(room) <= 390
    assert wide == room
