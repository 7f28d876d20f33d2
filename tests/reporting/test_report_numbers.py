"""The numbers of the page against numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from run_folders import evaluation_of, write_run
from scipy.stats import binomtest

from m2a.errors import ConfigError, DataError
from m2a.reporting import Run, results_table
from m2a.reporting.analysis import class_rows, config_rows, interval, mistakes, pair_rows
from m2a.reporting.entries import check_pairs, entries
from m2a.reporting.sentences import caveats, headline, introduction
from m2a.reporting.text import duration, inline, paragraphs, signed

LABELS = ["up", "down", "left", "right", "still"]
PAIRS = [("up", "down"), ("left", "right")]
BLIND = [[5, 5, 0, 0, 0], [4, 6, 0, 0, 0], [0, 0, 3, 6, 1], [1, 0, 4, 5, 0], [0, 0, 0, 1, 9]]  # 28 of 50
SEEING = [[9, 1, 0, 0, 0], [0, 8, 0, 0, 2], [0, 0, 10, 0, 0], [0, 0, 3, 7, 0], [0, 0, 0, 2, 8]]  # 42 of 50


def run_of(folder: Path, confusion: list[list[int]], mechanism: str, **changes: object) -> Run:
    evaluation = evaluation_of(np.array(confusion), **({"labels": LABELS, "mechanism": mechanism} | changes))
    return Run.load(write_run(folder, evaluation, config={"mechanism": mechanism, "lr": 0.1}))


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    return [
        run_of(tmp_path / "a", BLIND, "none", macs=1000),
        run_of(tmp_path / "b", SEEING, "m2a", macs=1016),
    ]


def test_uneven_classes_and_a_single_answer_are_told(tmp_path: Path) -> None:
    labels = ["bin", "cup", "jar"]
    uneven = run_of(tmp_path / "uneven", [[18, 0, 0], [1, 0, 0], [1, 0, 0]], "m2a", labels=labels)
    said = headline(entries([uneven]))
    assert said.endswith("to say the most frequent class of every clip would name 90.0%.")
    one, mean = caveats(entries([uneven]))
    assert one == "`m2a` called every clip 'bin': it tells no classes apart."
    assert mean.endswith("Each class counting alike, `m2a` names 33.3%, the mean of the classes.")
    even = run_of(tmp_path / "even", [[6, 1, 0], [1, 6, 0], [0, 1, 5]], "m2a", labels=labels)
    assert headline(entries([even])).endswith("guessing would name 33.3%.")
    assert caveats(entries([even])) == []


def test_headline_of_two(runs: list[Run]) -> None:
    expected = "`m2a` names **84.0%** of 50 held-out clips, `none` 56.0%: **+28.0 points** for +1.6% multiply-adds."
    assert headline(entries(runs)) == expected
    assert headline(entries(runs[::-1])) == headline(entries(runs)), "compares with `none` in any order"


def test_headline_does_not_flatter(tmp_path: Path) -> None:
    worse = [run_of(tmp_path / "a", SEEING, "none", macs=1000), run_of(tmp_path / "b", BLIND, "m2a", macs=1000)]
    assert headline(entries(worse)).endswith("**\u221228.0 points** for the same multiply-adds.")


def test_the_cost_of_several_views(runs: list[Run]) -> None:
    """Of 2 x 3 views the multiply-adds are six times those of one."""
    none, m2a = (replace(run, macs=macs) for run, macs in zip(runs, (100, 101), strict=True))
    assert headline(entries([none, m2a])).endswith(" for +1.0% multiply-adds.")
    many = [none, replace(m2a, views="2 x 3")]
    assert headline(entries(many)).endswith(" for +506.0% multiply-adds.")
    assert caveats(entries(many))[-1] == (
        "Views of each clip that were averaged: `none` 1 view and `m2a` 6 views. GMACs are of one view."
    )
    assert not any("view" in note for note in caveats(entries([none, m2a])))


def test_headline_of_one_and_of_gaps(tmp_path: Path, runs: list[Run]) -> None:
    assert headline(entries(runs[1:])) == "`m2a` names **84.0%** of 50 held-out clips; guessing would name 20.0%."
    gap = run_of(tmp_path / "gap", BLIND, "none", top1=None)
    assert headline(entries([gap, runs[1]])) == "`m2a` names **84.0%** of 50 held-out clips, `none` \u2013."
    train = run_of(tmp_path / "train", BLIND, "none", split="train", macs=None)
    assert "of 50 clips of the train split" in headline(entries([train]))


def test_introduction_is_two_sentences(runs: list[Run]) -> None:
    told = introduction(entries(runs))
    assert told.startswith(
        "This page compares 2 ways of seeing motion in a video, `none` and `m2a` on `resnet18`, tested"
    )
    assert "the same clips of `demo/data` (5 classes, 8 frames a clip of 64 \u00d7 64 pixels)." in told
    assert told.count(". ") == 1


def test_table(runs: list[Run]) -> None:
    first, second, limit = results_table(runs, ceiling=60.0)
    assert (first["mechanism"], first["top1"], first["difference"]) == ("none", 56.0, None)
    assert second["gmacs"] == pytest.approx(1.016e-6)
    assert second["parameters_m"] == pytest.approx(11.29)
    assert second["difference"] == pytest.approx(28.0)
    assert (limit["kind"], limit["top1"], limit["gmacs"]) == ("ceiling", 60.0, None)
    assert limit["difference"] == pytest.approx(4.0)
    assert results_table([run.folder for run in runs]) == [first, second]


@pytest.mark.parametrize(("classes", "top5"), [(5, None), (6, 99.1)])
def test_top5_of_five_classes_says_nothing(tmp_path: Path, classes: int, top5: float | None) -> None:
    run = run_of(tmp_path / "run", np.diag([3] * classes).tolist(), "m2a", labels=[str(k) for k in range(classes)])
    assert results_table([run])[0]["top5"] == top5


def test_interval_is_wilsons() -> None:
    low, high = interval(50.0, 96)
    assert low == pytest.approx(40.19, abs=0.01)
    assert high == pytest.approx(59.81, abs=0.01)
    assert interval(100.0, 10)[1] == pytest.approx(100.0)
    assert interval(None, 10) == (None, None)
    for right, clips in ((7, 24), (0, 5), (1, 1), (179, 180)):
        found = binomtest(right, clips).proportion_ci(0.95, method="wilson")
        assert interval(100 * right / clips, clips) == pytest.approx((100 * found.low, 100 * found.high))


def test_within_pairs_by_hand(runs: list[Run]) -> None:
    first, second, pooled = pair_rows(entries(runs), PAIRS)
    assert first.values == (pytest.approx(100 * 11 / 20), pytest.approx(100 * 17 / 18))
    assert first.clips == (20, 18)
    assert second.values == (pytest.approx(100 * 8 / 18), pytest.approx(100 * 17 / 20))
    assert pooled.values == (pytest.approx(100 * 19 / 38), pytest.approx(100 * 34 / 38))
    assert len(pair_rows(entries(runs), PAIRS[:1])) == 1


def test_no_clip_given_to_a_pair_is_no_number(tmp_path: Path) -> None:
    lost = np.array(SEEING)
    lost[:2] = [0, 0, 0, 0, 10]
    (row,) = pair_rows(entries([run_of(tmp_path / "lost", lost.tolist(), "m2a")]), PAIRS[:1])
    assert row.values == (None,)


def test_classes_by_gain(runs: list[Run]) -> None:
    rows = class_rows(entries(runs), PAIRS)
    assert [(row.label, row.gain) for row in rows] == [
        ("left", pytest.approx(70.0)),
        ("up", pytest.approx(40.0)),
        ("down", pytest.approx(20.0)),
        ("right", pytest.approx(20.0)),
        ("still", pytest.approx(-10.0)),
    ]
    assert [row.pair for row in rows] == [2, 1, 1, 2, None]
    alone = class_rows(entries(runs[:1]), ())
    assert alone[0].label == "still"
    assert alone[0].gain is None


def test_mistakes_surest_first(runs: list[Run]) -> None:
    rows = mistakes(runs[0], limit=5)
    assert len(rows) == 5
    sure = [row.probability or 0.0 for row in rows]
    assert sure == sorted(sure, reverse=True)
    assert all(row.label != row.prediction for row in rows)


def test_options_that_differ(runs: list[Run]) -> None:
    assert config_rows(entries(runs)) == ([("mechanism", ["none", "m2a"])], [("lr", ["0.1", "0.1"])])


def test_names_and_colours_are_distinct(tmp_path: Path, runs: list[Run]) -> None:
    again = run_of(tmp_path / "again", SEEING, "m2a")
    other = run_of(tmp_path / "other", SEEING, "tsm", backbone="mobilenetv2_100")
    shown = entries([*runs, again, other])
    assert [entry.name for entry in shown] == ["none", "m2a, b", "m2a, again", "tsm"]
    assert len({entry.colour for entry in shown}) == 4


def test_runs_of_other_classes_are_refused(tmp_path: Path, runs: list[Run]) -> None:
    other = evaluation_of(np.eye(2, dtype=int), ["up", "elsewhere"])
    with pytest.raises(DataError, match=r"different classes; only one has 'down' and 4 more\. Report about runs of"):
        entries([runs[0], Run.load(write_run(tmp_path / "other", other))])
    with pytest.raises(ConfigError, match="Got no runs"):
        entries([])


def test_pairs_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"no class 'rihgt'\. Did you mean 'right'"):
        check_pairs([("left", "rihgt")], LABELS)
    with pytest.raises(ConfigError, match="'up' is named 2 times"):
        check_pairs([("up", "down"), ("left", "up")], LABELS)


def test_text() -> None:
    assert [signed(x) for x in (1.25, -0.04, -2.0, None)] == ["+1.2", "0.0", "\u22122.0", "\u2013"]
    assert [duration(x) for x in (7.0, 90.0, 3725.0, None)] == ["7 s", "1 min 30 s", "1 h 02 min", "\u2013"]
    assert inline("<i> `a**b` **c**") == "&lt;i&gt; <code>a**b</code> <strong>c</strong>"
    assert paragraphs("one\ntwo\n\n- a\n- b") == "<p>one two</p>\n<ul><li>a</li><li>b</li></ul>"
    assert paragraphs("") == ""
