"""Runs against each other: the numbers against numbers worked out by hand, and what cannot be compared."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from run_folders import evaluation_of, write_guesses, write_run

import m2a
from m2a.errors import ConfigError, DataError, NotFoundError
from m2a.reporting import write_report
from m2a.reporting.comparison import Comparison, words, write_comparison
from m2a.reporting.comparison.paired import Agreement, row_of
from m2a.reporting.comparison.picture import ENDS, draw, named_parts

LABELS = ["Moving something up", "Moving something down", "Holding something"]
UP, DOWN, HOLD = LABELS
BEFORE = [(UP, UP), (UP, DOWN), (UP, DOWN), (UP, HOLD), (DOWN, DOWN), (DOWN, UP), (DOWN, UP), (HOLD, HOLD), (HOLD, UP)]
AFTER = [(UP, UP), (UP, UP), (UP, UP), (UP, UP), (DOWN, DOWN), (DOWN, DOWN), (DOWN, DOWN), (HOLD, UP), (HOLD, UP)]


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Of 9 clips the first names 3 and the second 7: 2 both, 1 the first only, 5 the second only, 1 neither."""
    return [
        write_guesses(tmp_path / "none", BEFORE, LABELS, mechanism="none"),
        write_guesses(tmp_path / "m2a", AFTER, LABELS, mechanism="m2a"),
    ]


@pytest.fixture
def compared(runs: list[Path]) -> Comparison:
    return m2a.compare(runs)


def test_overall_by_hand(compared: Comparison) -> None:
    (row,) = compared.overall
    assert (compared.baseline, row["run"], compared.num_clips) == ("none", "m2a", 9)
    assert (row["both"], row["only_baseline"], row["only_run"], row["neither"]) == (2, 1, 5, 1)
    assert row["top1_baseline"] == pytest.approx(100 * 3 / 9)
    assert row["top1"] == pytest.approx(100 * 7 / 9)
    assert row["difference"] == pytest.approx(100 * 4 / 9)
    assert row["p_value"] == pytest.approx(2 * (1 + 6) / 2**6), "6 clips differ, split 5 to 1 or worse"
    assert -5 < row["low"] < row["difference"] < row["high"] <= 100


def test_classes_and_kinds_by_hand(compared: Comparison) -> None:
    assert [(row["label"], row["clips"], round(row["difference"], 3)) for row in compared.classes] == [
        (UP, 4, 75.0),
        (DOWN, 3, 66.667),
        (HOLD, 2, -50.0),
    ]
    assert [(row["kind"], row["classes"], row["clips"]) for row in compared.kinds] == [
        ("object motion", 2, 7),
        ("static", 1, 2),
    ]
    assert compared.kinds[0]["difference"] == pytest.approx(100 * 5 / 7)


def test_confusions_that_moved(compared: Comparison) -> None:
    told = [(row["truth"], row["prediction"], row["clips_baseline"], row["clips"]) for row in compared.confusions]
    assert told == [(DOWN, UP, 2, 0), (UP, DOWN, 2, 0), (UP, HOLD, 1, 0), (HOLD, UP, 1, 2)]
    assert [row["change"] for row in compared.confusions] == [-2, -2, -1, 1]


def test_tables_are_plain_and_the_same_each_time(runs: list[Path], compared: Comparison) -> None:
    plain = compared.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert m2a.compare(runs).to_dict() == plain
    other = m2a.compare(runs, seed=1)
    assert [row["difference"] for row in other.classes] == [row["difference"] for row in compared.classes]


def test_three_runs_are_each_compared_with_the_first(runs: list[Path], tmp_path: Path) -> None:
    third = write_guesses(tmp_path / "tsm", BEFORE, LABELS, mechanism="tsm")
    compared = m2a.compare([*runs, third])
    assert [row["run"] for row in compared.overall] == ["m2a", "tsm"]
    same = compared.of("tsm")
    assert (same.overall[0]["p_value"], same.overall[0]["low"], same.overall[0]["high"]) == (1.0, 0.0, 0.0)
    assert same.confusions == []
    assert {row["run"] for row in same.classes} == {"tsm"}
    assert "No clip tells the two apart." in words.verdict(same, same.overall[0])


def test_clips_that_others_lack_are_left_out(runs: list[Path], tmp_path: Path) -> None:
    ids = [*map(str, range(7)), "new", "newer"]
    part = write_guesses(tmp_path / "part", AFTER, LABELS, ids=ids, mechanism="tsm")
    compared = m2a.compare([runs[0], part])
    assert compared.num_clips == 7
    assert [row["left_out"] for row in compared.runs] == [2, 2]
    assert words.left_out(compared) == (
        "Compared are the 7 clips that all runs saw; left out are 2 of 9 of `none`, 2 of 9 of `tsm`."
    )
    assert words.left_out(m2a.compare(runs)) == ""


def test_in_words(compared: Comparison) -> None:
    told = words.verdict(compared, compared.overall[0])
    assert told.startswith("On the same 9 clips `m2a` names 77.8% and `none` 33.3%: **+44.4 points**, 95% interval ")
    assert "5 clips only `m2a` names, 1 only `none`, 2 both, 1 neither." in told
    assert told.endswith("with probability 0.22 (McNemar's exact test): these clips do not tell which is better.")
    sure = replace(compared, overall=[{**compared.overall[0], "p_value": 1e-9}])
    assert words.verdict(sure, sure.overall[0]).endswith("below 0.0001 (McNemar's exact test): more than chance.")


def test_runs_that_were_measured_differently_say_so(runs: list[Path], tmp_path: Path) -> None:
    """Clips are told by their names, which other data may have too."""
    assert words.unlike(m2a.compare(runs), "m2a") == ""
    other = write_guesses(tmp_path / "tsm", AFTER, LABELS, mechanism="tsm")
    path = other / "evaluation.json"
    changed = json.loads(path.read_text(encoding="utf-8")) | {"data": "elsewhere", "views": "2 x 3"}
    path.write_text(json.dumps(changed), encoding="utf-8")
    first = runs[0] / "evaluation.json"
    first.write_text(json.dumps(json.loads(first.read_text(encoding="utf-8")) | {"views": "1 x 1"}), encoding="utf-8")
    compared = m2a.compare([*runs, other])
    by_name = {row["run"]: words.verdict(compared, row) for row in compared.overall}
    assert by_name["m2a"].startswith("On the same 9 clips")
    assert by_name["tsm"].startswith("On 9 clips of the same names `tsm` names")
    assert words.unlike(compared, "m2a") == ""
    assert words.unlike(compared, "tsm") == (
        "Measured were `none` on validation of demo/data, `tsm` on validation of elsewhere. Clips are told by their "
        "names: if those are not the same data, these are not the same clips, and the difference says nothing of the "
        "runs. The runs saw other views of each clip (in time x in space): `none` with 1 x 1, `tsm` with 2 x 3."
    )


def test_runs_in_other_precisions_say_so(runs: list[Path], compared: Comparison) -> None:
    assert [row["precision"] for row in compared.runs] == ["", ""]  # evaluations of earlier versions
    for folder, precision, told in zip(
        runs, ("32", "bf16"), ("", "`none` in float32, `m2a` in bfloat16."), strict=True
    ):
        path = folder / "evaluation.json"
        content = json.loads(path.read_text(encoding="utf-8")) | {"precision": precision}
        path.write_text(json.dumps(content), encoding="utf-8")
        assert words.unlike(m2a.compare(runs), "m2a").endswith(told)
        assert bool(words.unlike(m2a.compare(runs), "m2a")) == bool(told)
    page = write_report(runs, runs[0].parent / "report.html", title="Two runs").read_text(encoding="utf-8")
    assert "They were computed in other precisions" in page


def test_a_tally_in_words() -> None:
    points = (9.0, 1.0, 0.0, -1.0, -9.0)
    rows = [{"difference": d, "low": d - 2.0, "high": d + 2.0, "p_value": 1e-3, "groups": None} for d in points]
    assert words.tally(rows) == "2 of 5 classes gain (1 with an interval above zero), 2 lose (1 below), 1 stays."
    assert words.tally(rows[:1]) == "1 of 1 class gains (1 with an interval above zero), none loses."
    assert words.tally(rows[2:4]) == "0 of 2 classes gain (0 with an interval above zero), 1 loses (0 below), 1 stays."
    few = Agreement.of(np.zeros(2, bool), np.ones(2, bool))  # both clips of a class: the interval has no width
    rows.append(row_of(np.zeros(2, bool), np.ones(2, bool), np.random.default_rng(0), 100))
    assert few.p_value() == rows[-1]["p_value"] == 0.5
    assert words.tally(rows).startswith(
        "3 of 6 classes gain (2 with an interval above zero, 1 of them of too few clips to rule out chance), 2 lose (1"
    )


def agreement(both: int, only_baseline: int, only_run: int, neither: int) -> Agreement:
    return Agreement(both=both, only_baseline=only_baseline, only_run=only_run, neither=neither)


def test_the_interval_is_that_of_drawing_clips() -> None:
    """Against the normal approximation for many clips, and against drawing clips one by one for few."""
    low, high = agreement(300, 100, 300, 300).interval(np.random.default_rng(0), 20_000)
    half = 196 * np.sqrt((0.4 - 0.2**2) / 1000)
    assert (low, high) == (pytest.approx(20 - half, abs=0.3), pytest.approx(20 + half, abs=0.3))
    few = agreement(5, 3, 11, 4)
    rng = np.random.default_rng(1)
    clips = np.repeat([0, -1, 1, 0], [5, 3, 11, 4])
    means = 100 * clips[rng.integers(0, len(clips), (20_000, len(clips)))].mean(1)
    expected = np.percentile(means, [2.5, 97.5])
    assert few.interval(np.random.default_rng(0), 20_000) == pytest.approx(expected, abs=100 / len(clips))


def test_nineteen_of_twenty_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(300):
        both, ours, theirs, neither = rng.multinomial(150, [0.3, 0.25, 0.1, 0.35]).tolist()
        low, high = agreement(both, theirs, ours, neither).interval(rng, 500)
        held += low <= 15 <= high
    assert 0.90 <= held / 300 <= 0.98


def test_mcnemar_by_hand() -> None:
    assert agreement(9, 0, 0, 1).p_value() == 1.0
    assert agreement(0, 3, 3, 0).p_value() == 1.0
    assert agreement(50, 0, 5, 50).p_value() == pytest.approx(2 / 32)
    assert agreement(0, 1, 9, 0).p_value() == pytest.approx(2 * 11 / 1024)


def test_what_cannot_be_compared(runs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"takes two runs or more; got 1\. The first is the baseline"):
        m2a.compare(runs[:1])
    with pytest.raises(ConfigError, match=r"resamples=10: an interval from so few draws is a guess\. Take 100 or more"):
        m2a.compare(runs, resamples=10)
    with pytest.raises(NotFoundError, match="no such folder"):
        m2a.compare([runs[0], tmp_path / "nowhere"])
    other = write_run(tmp_path / "other", evaluation_of(np.eye(2, dtype=int), ["a", "b"]))
    with pytest.raises(DataError, match=r"different classes; only one has .* Report about runs of the same data"):
        m2a.compare([runs[0], other])


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize("kind", [str, Path])
def test_a_single_path_is_no_list_of_runs(runs: list[Path], kind: Any) -> None:
    with pytest.raises(ConfigError, match=r"runs must be a list of folders; got '.*' alone\. Give \[baseline, run"):
        m2a.compare(kind(runs[0]))


def test_runs_of_other_clips_are_refused(runs: list[Path], tmp_path: Path) -> None:
    ids = [f"x{number}" for number in range(9)]
    apart = write_guesses(tmp_path / "apart", AFTER, LABELS, ids=ids, mechanism="tsm")
    with pytest.raises(
        DataError, match=r"clips such as '0'\) and .*clips such as 'x0'\) have no clip in common\. Evaluate the runs on"
    ):
        m2a.compare([runs[0], apart])
    renamed = write_guesses(tmp_path / "renamed", [(DOWN, DOWN), *AFTER[1:]], LABELS, mechanism="tsm")
    with pytest.raises(
        DataError,
        match=rf"1 of 9 clips have another label in .*renamed than in .*none: '0' is '{DOWN}' here and '{UP}'",
    ):
        m2a.compare([runs[0], renamed])
    twice = write_guesses(tmp_path / "twice", AFTER, LABELS, ids=[*"01234567", "7"], mechanism="tsm")
    with pytest.raises(DataError, match=r"names the clip '7' 2 times\. Run `m2a evaluate .*` to write it anew"):
        m2a.compare([runs[0], twice])
    (twice / "predictions.csv").unlink()
    with pytest.raises(DataError, match=r"twice has no predictions\.csv, or an empty one; runs are compared clip by"):
        m2a.compare([runs[0], twice])


def test_a_picture_is_ours_to_replace_and_nothing_else_is(compared: Comparison, tmp_path: Path) -> None:
    path = write_comparison(tmp_path / "new" / "picture.png", compared)
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.width > image.height > 300
    write_comparison(path, compared)
    Image.new("RGB", (4, 4)).save(path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"picture\.png is there already and was not written by m2a; nothing is over"):
        write_comparison(path, compared)
    assert path.read_bytes() == before
    with pytest.raises(ConfigError, match=r"is a folder; nothing is overwritten\. Name another file with --out"):
        write_comparison(tmp_path, compared)


def texts(compared: Comparison) -> str:
    figure = draw(compared)
    words = [text.get_text() for text in figure.texts]
    return " ".join(" ".join([*words, *(text.get_text() for axes in figure.axes for text in axes.texts)]).split())


def test_long_names_of_runs_stay_apart_in_the_picture(tmp_path: Path) -> None:
    guesses = [(label, LABELS[0]) for label in LABELS]
    folders = [tmp_path / f"a-run-with-a-very-long-name-and-another-part-of-it-seed{seed}" for seed in range(3)]
    figure = draw(m2a.compare([write_guesses(folder, guesses, LABELS, mechanism="m2a") for folder in folders]))
    boxes = [text.get_window_extent() for text in figure.texts]
    assert sum("gains" in text.get_text() for text in figure.texts) == 2
    assert max(box.x1 for box in boxes) <= figure.bbox.x1
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_the_picture_names_every_class_or_the_ends(compared: Comparison, tmp_path: Path) -> None:
    told = texts(compared)
    for part in (*LABELS, "What m2a gains over none", "+75.0", "25 \u2192 100", "\u221250.0", "2 of 3 classes gain"):
        assert part in told
    labels = [f"Class {number:02d}" for number in range(60)]
    guesses = [(label, labels[0]) for label in labels]
    after = [(label, label if number > 15 else labels[1]) for number, label in enumerate(labels)]
    many = [
        write_guesses(tmp_path / "a", guesses, labels, mechanism="none"),
        write_guesses(tmp_path / "b", after, labels, mechanism="m2a"),
    ]
    compared = m2a.compare(many)
    told = texts(compared)
    assert told.count("Class ") == 2 * ENDS
    for part in ("All 60 classes, sorted", "The 12 largest gains", "Losses and smallest gains, the last 12"):
        assert part in told
    third = write_guesses(tmp_path / "c", guesses, labels, mechanism="tsm")
    assert "The 12 largest gains of m2a" in texts(m2a.compare([*many, third])), "they are not those of tsm"
    parts = named_parts(compared.classes)
    assert parts[1][1][0] == "Class 00", "the largest loss comes first"
    assert [heading for heading, _ in named_parts(compared.classes[:20])] == [""]
