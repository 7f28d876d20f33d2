"""Runs on clips of which several are of one recording: whole recordings are drawn and tested, not single clips."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from report_page import Page
from run_folders import write_guesses

import m2a
from m2a.errors import DataError
from m2a.reporting import Run, write_report
from m2a.reporting.comparison import Comparison, words
from m2a.reporting.comparison.paired import Agreement, Recordings, row_of
from m2a.reporting.comparison.picture import draw

UP, DOWN, HOLD = LABELS = ["Moving something up", "Moving something down", "Holding something"]
BEFORE = [(UP, UP), (UP, DOWN), (UP, DOWN), (UP, HOLD), (DOWN, DOWN), (DOWN, UP), (DOWN, UP), (HOLD, HOLD), (HOLD, UP)]
AFTER = [(UP, UP), (UP, UP), (UP, UP), (UP, UP), (DOWN, DOWN), (DOWN, DOWN), (DOWN, DOWN), (HOLD, UP), (HOLD, UP)]
OF_THREE = {"1": "a", "2": "a", "3": "a", "5": "b", "6": "b"}
"""Clips 0, 4, 7 and 8 are alone: 6 recordings, whose gains are 0, 3, 0, 2, -1 and 0."""
ALL_ALONE = {str(clip): f"{clip}" for clip in range(9)}
PRIMES = [2, 3, 5, 7, 11, 13]


def guessed(folder: Path, guesses: Sequence[tuple[str, str]], groups: Mapping[str, str] | None = None) -> Path:
    known = {} if groups is None else {"groups": groups}
    return write_guesses(folder, guesses, LABELS, mechanism=folder.name, **known)


def compared(
    folder: Path, before: Mapping[str, str] | None, after: Mapping[str, str] | None, **options: Any
) -> Comparison:
    """The runs of `test_comparison.py`, with what each of them knows of groups."""
    runs = [guessed(folder / "none", BEFORE, before), guessed(folder / "m2a", AFTER, after)]
    return m2a.compare(runs, **options)


def of_primes(seed: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64]]:
    """Two runs on 41 clips of 6 recordings, and the clips' recordings, in no order."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(len(PRIMES)), PRIMES))
    hits = rng.random((2, len(groups))) < rng.random((2, len(PRIMES)))[:, groups]
    return hits[0], hits[1], groups


@pytest.mark.parametrize("seed", range(7))
def test_the_test_is_that_of_turning_every_recordings_sign(seed: int) -> None:
    before, after, groups = of_primes(seed)
    gains = [int(after[groups == g].sum()) - int(before[groups == g].sum()) for g in range(len(PRIMES))]
    sums = [
        abs(sum(sign * gain for sign, gain in zip(signs, gains, strict=True))) for signs in product((1, -1), repeat=6)
    ]
    expected = sum(value >= abs(sum(gains)) for value in sums) / len(sums)
    found = Recordings.of(before, after, groups)
    assert (found.clips.tolist(), found.gains.tolist()) == (PRIMES, gains)
    assert found.p_value() == pytest.approx(expected, abs=1e-12)
    assert Recordings.of(after, before, groups).p_value() == found.p_value()


def test_the_interval_is_that_of_drawing_recordings() -> None:
    """Against drawing them one by one, and scoring the clips of each draw."""
    before, after, groups = of_primes(3)
    rng = np.random.default_rng(1)
    values = after.astype(int) - before
    members = [values[groups == g] for g in range(len(PRIMES))]
    differences = [
        100 * np.concatenate([members[g] for g in rng.integers(0, len(members), len(members))]).mean()
        for _ in range(6_000)
    ]
    found = Recordings.of(before, after, groups).interval(np.random.default_rng(0), 6_000)
    assert found == pytest.approx(np.percentile(differences, [2.5, 97.5]), abs=2.5)


def test_recordings_of_one_clip_give_the_numbers_of_clips() -> None:
    rng = np.random.default_rng(5)
    for number in (1, 2, 17, 997):
        before, after = rng.random((2, number)) < 0.6
        clips, single = Agreement.of(before, after), Recordings.of(before, after, rng.permutation(number))
        assert single.p_value() == pytest.approx(clips.p_value(), rel=1e-9)
        found, expected = (one.interval(np.random.default_rng(0), 10_000) for one in (single, clips))
        assert found == pytest.approx(expected, abs=0.3 if number > 900 else 100 / number)


def test_small_probabilities_are_exact() -> None:
    groups = np.repeat(np.arange(101), 3)
    never, always = np.zeros(303, bool), np.ones(303, bool)
    assert Recordings.of(never, always, groups).p_value() == pytest.approx(2 / 2**101)
    assert Recordings.of(always, always, groups).p_value() == 1.0


def test_a_single_recording_tells_nothing() -> None:
    row = row_of(np.zeros(7, bool), np.ones(7, bool), np.random.default_rng(0), 100, np.zeros(7, np.int64))
    assert (row["clips"], row["groups"], row["low"], row["high"], row["p_value"]) == (7, 1, 100.0, 100.0, 1.0)


def simulated(recordings: int, clips: int, repetitions: int, seed: int, *, known: bool) -> tuple[float, float]:
    """Of two equally good models, which are right or wrong about whole recordings: how often the interval holds 0, and
    how often the test says "more than chance"."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(recordings), clips)
    held = said = 0
    for _ in range(repetitions):
        before, after = (rng.random((2, recordings)) < 0.5)[:, groups]
        row = row_of(before, after, rng, 400, groups if known else None)
        held += row["low"] <= 0 <= row["high"]
        said += row["p_value"] <= 0.05
    return held / repetitions, said / repetitions


@pytest.mark.parametrize(("recordings", "clips"), [(10, 20), (31, 7)])
def test_nineteen_of_twenty_intervals_hold_the_truth(recordings: int, clips: int) -> None:
    held, said = simulated(recordings, clips, 300, 0, known=True)
    assert 0.90 <= held <= 0.98
    assert said <= 0.05
    held, said = simulated(recordings, clips, 300, 0, known=False)
    assert held < 0.6, "clips that are drawn singly"
    assert said > 0.3


def test_many_recordings_are_quick() -> None:
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(20_000), rng.integers(1, 8, 20_000))
    before, after = rng.random((2, len(groups))) < 0.5
    start = perf_counter()
    row_of(before, after, rng, 10_000, groups)
    assert perf_counter() - start < 5  # a fifth of a second where nothing else runs


@pytest.mark.parametrize("groups", [None, {}, ALL_ALONE, {"1": "a", "5": "b"}])
def test_without_recordings_the_numbers_are_those_of_before(tmp_path: Path, groups: Mapping[str, str] | None) -> None:
    """Worked out by the version that knew of no groups; to the last bit."""
    found = compared(tmp_path, groups, groups)
    assert found.num_groups is None
    tables = (found.overall, found.classes, found.kinds)
    assert [[(row["groups"], row["low"], row["high"], row["p_value"]) for row in rows] for rows in tables] == [
        [(None, 0.0, 88.88888888888889, 0.21875)],
        [(None, 25.0, 100.0, 0.25), (None, 0.0, 100.0, 0.5), (None, -100.0, 0.0, 1.0)],
        [(None, 28.571428571428573, 100.0, 0.0625), (None, -100.0, 0.0, 1.0)],
    ]
    assert "recording" not in words.verdict(found, found.overall[0])
    assert words.few_recordings(found.classes) == ""


def test_overall_classes_and_kinds_by_hand(tmp_path: Path) -> None:
    found = compared(tmp_path, OF_THREE, OF_THREE)
    (row,) = found.overall
    assert (found.num_groups, row["groups"], row["clips"]) == (6, 6, 9)
    assert (row["both"], row["only_baseline"], row["only_run"], row["neither"]) == (2, 1, 5, 1)
    assert row["difference"] == pytest.approx(100 * 4 / 9)
    assert row["p_value"] == pytest.approx(4 / 8), "of 3, 2 and 1 with any signs, 6 and 4 are as far from 0 as 4"
    assert [(row["label"], row["groups"], row["p_value"]) for row in found.classes] == [
        (UP, 2, 1.0), (DOWN, 2, 1.0), (HOLD, 2, 1.0),
    ]  # fmt: skip
    assert [(row["kind"], row["groups"], row["p_value"]) for row in found.kinds] == [
        ("object motion", 4, 0.5),
        ("static", 2, 1.0),
    ]
    assert found.classes[0]["low"] == 0.0, "the clip that is alone, drawn twice"
    plain = found.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert (plain["num_groups"], found.of("m2a").num_groups) == (6, 6)


def test_what_one_run_knows_is_known_of_all(tmp_path: Path) -> None:
    """One of them was evaluated by an earlier version, or on another machine, where groups have other names."""
    expected = compared(tmp_path / "both", OF_THREE, OF_THREE)
    renamed = {clip: f"/elsewhere/{group}.mp4" for clip, group in OF_THREE.items()}
    for name, before, after in (("first", OF_THREE, None), ("last", None, OF_THREE), ("names", OF_THREE, renamed)):
        found = compared(tmp_path / name, before, after)
        assert (found.overall, found.classes) == (expected.overall, expected.classes)


def test_groups_that_are_divided_otherwise_are_joined(tmp_path: Path) -> None:
    assert compared(tmp_path / "0", {"0": "a", "1": "a"}, {"1": "b", "2": "b"}).num_groups == 7
    assert compared(tmp_path / "1", {"0": "a", "1": "a"}, {"5": "a", "6": "a"}).num_groups == 7, "a is not a there"


def test_groups_of_clips_that_are_left_out_do_not_count(tmp_path: Path) -> None:
    groups = {"8": "a", "x": "a", "y": "a"}
    first = write_guesses(tmp_path / "none", BEFORE, LABELS, mechanism="none", groups=groups)
    ids = [*map(str, range(7)), "8", "y"]
    other = write_guesses(tmp_path / "tsm", [*AFTER[:7], AFTER[8], AFTER[7]], LABELS, ids=ids, groups=groups)
    found = m2a.compare([first, other])
    assert (found.num_clips, found.num_groups) == (8, None)


def test_in_words(tmp_path: Path) -> None:
    found = compared(tmp_path, OF_THREE, OF_THREE)
    row = found.overall[0]
    told = words.verdict(found, row)
    assert told.startswith(
        "On the same 9 clips of 6 recordings `m2a` names 77.8% and `none` 33.3%: **+44.4 points**, 95%"
    )
    assert f"{words.span(row)}; whole recordings are drawn. 5 clips only `m2a` names, 1 only `none`" in told
    assert told.endswith(
        "Were the two equally good, a difference as large would come up with probability 0.5 (an exact sign-flip test "
        "of whole recordings): these clips do not tell which is better. These are clips of 6 recordings only: drawn "
        "from fewer than 10, the interval comes out too narrow."
    )
    many = {**row, "groups": 10, "p_value": 0.01}
    assert words.verdict(found, many).endswith("(an exact sign-flip test of whole recordings): more than chance.")
    assert words.few_recordings(found.classes) == (
        "In 3 of 3 classes the clips are of fewer than 10 recordings (2): their intervals come out too narrow."
    )
    assert "(7 to 9): their" in words.few_recordings([{"groups": number} for number in (7, 9, 10, 11)])
    sure = {"difference": 9.0, "low": 1.0, "high": 20.0, "p_value": 0.125, "groups": 4}
    assert "1 of them of too few recordings to rule out chance" in words.tally([sure])


def test_other_data_in_words(tmp_path: Path) -> None:
    found = compared(tmp_path, OF_THREE, OF_THREE)
    apart = replace(found, runs=[{**row, "data": row["name"]} for row in found.runs])
    told = words.verdict(apart, apart.overall[0])
    assert told.startswith("On 9 clips of 6 recordings, of the same names, `m2a` names 77.8%")


def test_on_the_page_and_in_the_picture(tmp_path: Path) -> None:
    found = compared(tmp_path, OF_THREE, OF_THREE)
    runs = [tmp_path / "none", tmp_path / "m2a"]
    page = Page(write_report(runs, tmp_path / "r.html", title="t").read_text(encoding="utf-8"))
    for part in (
        "On the same 9 clips of 6 recordings m2a names",
        "bootstrap over the recordings of the class",
        "(2): ",
    ):
        assert part in page.text
    told = " ".join(text.get_text() for text in draw(found).texts)
    assert "over all 9 clips of 6 recordings" in told
    assert "bootstrap over the recordings of a class" in told
    plain = compared(tmp_path / "plain", None, None)
    told = " ".join(text.get_text() for text in draw(plain).texts)
    assert "over all 9 clips, 95%" in told
    assert "bootstrap over the clips of a class" in told


def test_old_and_damaged_results(tmp_path: Path) -> None:
    assert Run.load(guessed(tmp_path / "old", BEFORE)).groups == {}
    assert Run.load(guessed(tmp_path / "new", BEFORE, OF_THREE)).groups == OF_THREE
    wrong: Any = ["a", "b"]
    with pytest.raises(DataError, match=r"evaluation\.json: a value is not of the expected kind"):
        Run.load(guessed(tmp_path / "wrong", BEFORE, wrong))
