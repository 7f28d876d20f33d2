"""Which of the paper's orderings hold in results that are given, and changed recipes beside unchanged ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_results import DATA, FILE, IMAGENET, made, put

from m2a.recipes.ablations import ablations_content, ablations_table
from m2a.recipes.changed_orderings import changed_orderings_content, changed_orderings_table
from m2a.recipes.evidence import read_groups
from m2a.recipes.groups import group_results
from m2a.recipes.orderings import ORDERINGS, Ordering, orderings_content, orderings_table, verdict
from m2a.recipes.paired import paired_gain
from m2a.recipes.results import Result
from m2a.recipes.rows import find_row

MORE = Ordering(upper="I/m2a", lower="I/m2a-motion")
PAIR = ["Moving something up", "Moving something down"]
TIE = Ordering(upper="V/m2a", lower="V/tea")


def runs(recipe: str, *levels: float, first_seed: int = 0, **changes: Any) -> list[Result]:
    return [made(recipe, top1=top1, seed=first_seed + k, **changes) for k, top1 in enumerate(levels)]


def test_every_ordering_is_of_two_rows_of_one_table_with_the_upper_one_above_unless_it_is_a_tie() -> None:
    for ordering in ORDERINGS:
        assert find_row(ordering.upper).table == find_row(ordering.lower).table
        assert ordering.tie or ordering.paper is None or ordering.paper > 0
    assert len(set(ORDERINGS)) == len(ORDERINGS)
    assert MORE in ORDERINGS
    assert TIE in ORDERINGS
    assert (MORE.paper, MORE.tie, str(MORE)) == (pytest.approx(5.8), False, "I: m2a > m2a-motion")
    assert (TIE.paper, TIE.tie, str(TIE)) == (pytest.approx(0.4), True, "V: m2a ≈ tea")


def test_a_gain_is_taken_seed_by_seed_over_the_seeds_that_both_have() -> None:
    ours, theirs = runs("I/m2a", 51.0, 72.0, 93.0, 7.0), runs("I/none", 3.0, 50.0, 70.0, 90.0, first_seed=-1)
    gain = paired_gain(ours, theirs)
    assert gain is not None
    assert gain.seeds == (0, 1, 2)
    assert gain.estimate.mean == pytest.approx(2.0)  # 1, 2, 3: s = 1
    assert gain.estimate.half_width == pytest.approx(4.3027 / 3**0.5, rel=1e-4)
    assert paired_gain(ours, runs("I/none", 50.0, first_seed=17)) is None


@pytest.mark.parametrize(
    ("levels", "plain", "of_a_tie"),
    [
        ((11.0, 12.0, 13.0), "holds", "above"),
        ((-11.0, -12.0, -13.0), "reversed", "below"),
        ((1.0, 12.0, -13.0), "open", "open"),
        ((1.0, 2.0, 3.0), "open", "open"),  # 2 ± 2.5
        ((40.0,), "open", "open"),
        ((5.0, 5.0, 5.0), "open", "open"),  # that they agree to the last clip is no certainty
        (tuple(100 * (hits + 3) / 360 - 100 * hits / 360 for hits in (230, 245, 260)), "open", "open"),  # but for bits
    ],
)
def test_verdicts(levels: tuple[float, ...], plain: str, of_a_tie: str) -> None:
    gain = paired_gain(runs("I/m2a", *levels), runs("I/none", *[0.0] * len(levels)))
    assert gain is not None
    assert (verdict(MORE, gain), verdict(TIE, gain)) == (plain, of_a_tie)


def test_settings_stand_in_lines_of_their_own_and_changed_models_nowhere() -> None:
    longer, skip = {"epochs": 3}, {"mechanism_options": {"inner_skip": "none"}}
    results = [
        *runs("I/m2a", 61.0, 62.0, 63.0), *runs("I/m2a-motion", 50.0, 50.0, 50.0),
        *runs("I/m2a", 40.0, weights=FILE), *runs("I/m2a-motion", 50.0, weights=FILE),
        *runs("I/m2a", 52.0, changes=longer), *runs("I/m2a-motion", 1.0, 48.0, first_seed=-1, changes=longer),
        *runs("I/m2a", 99.0, changes=skip | longer), *runs("I/m2a-motion", 1.0, changes=skip | longer),
        *runs("I/none", 1.0, weights=IMAGENET, data=DATA, scale="small"),
    ]  # fmt: skip
    table = orderings_table(group_results(results))
    assert table.head == ("table: rows", "paper", "here", "run on")
    assert sorted(row for row in table.rows if row[0] == str(MORE)) == [
        (str(MORE), "+5.8", "+12.0 ± 2.5, holds", "synthetic, tiny, random weights"),
        (str(MORE), "+5.8", "+4.0 (one seed), open", "synthetic, tiny, random weights, epochs=3"),
        (str(MORE), "+5.8", "-10.0 (one seed), open", "synthetic, tiny, ImageNet weights"),
    ]
    assert list(dict.fromkeys(row[0] for row in table.rows)) == [str(ordering) for ordering in ORDERINGS]
    assert sum(row[2:] == ("not run", "-") for row in table.rows) == len(ORDERINGS) - 1
    assert {(one["weights"], one["changes"], one["verdict"]) for one in orderings_content(group_results(results))} == {
        ("random weights", "", "holds"),
        ("random weights", "epochs=3", "open"),
        ("ImageNet weights", "", "open"),
    }


def test_a_changed_model_is_set_beside_rows_as_they_are_and_changed_alike_in_every_table_that_has_it() -> None:
    longer, skip = {"epochs": 3}, {"mechanism_options": {"inner_skip": "none"}}
    results = [
        *runs("I/m2a", 60.0, 63.0, 61.0, changes=skip), *runs("I/m2a", 10.0),
        *runs("I/none", 50.0, 52.0, 52.0), *runs("V/tsm", 7.0, 93.0, first_seed=2), *runs("V/tam", 5.0, first_seed=9),
        *runs("I/m2a-motion", 9.0, weights=FILE), *runs("I/m2a-attention", 9.0, scale="small"),
        *runs("I/none", 40.0, changes=longer), *runs("I/m2a", 41.0, changes=longer | skip),
        *runs("I/none", 1.0, changes=skip),
    ]  # fmt: skip
    groups = group_results(results)
    table = changed_orderings_table(groups)
    assert table is not None
    assert table.head == ("table: rows", "paper", "here", "changed", "run on")
    on, more, tsm = "synthetic, tiny, random weights", ("I: m2a > none", "+20.8"), ("V: tsm > m2a", "+4.3")
    assert sorted(table.rows) == sorted([
        (*more, "+10.0 ± 2.5, holds", "m2a with inner_skip=none", on),  # 10, 11, 9
        (*more, "+1.0 (one seed), open", "m2a with inner_skip=none", f"{on}, epochs=3"),
        (*more, "+9.0 (one seed), open †", "none with inner_skip=none", on),  # m2a takes it too, and was run without
        (*more, "+59.0 (one seed), open", "both with inner_skip=none", on),
        (*tsm, "-54.0 (one seed), open", "m2a with inner_skip=none", on),  # seed 2 alone
    ])  # fmt: skip
    assert [row[0] for row in table.rows] == [more[0]] * 4 + [tsm[0]]
    assert any(note.startswith("†: the row without the change takes it too") for note in table.notes)
    content = changed_orderings_content(groups)
    assert {(one["upper"], one["lower"], one["changed"]["row"], one["changes"]) for one in content} == {
        ("I/m2a", "I/none", "I/m2a", ""), ("I/m2a", "I/none", "I/m2a", "epochs=3"),
        ("I/m2a", "I/none", "I/none", ""), ("I/m2a", "I/none", "both", ""), ("V/tsm", "V/m2a", "I/m2a", ""),
    }  # fmt: skip
    assert {one["changed"]["row"] for one in content if one["changed"]["uneven"]} == {"I/none"}
    assert {one["changed"]["to"] for one in content} == {"mechanism_options.inner_skip=none"}
    assert changed_orderings_table(group_results(runs("I/m2a", 1.0))) is None


@pytest.mark.parametrize("labels", [["Moving something up"], [*PAIR, "Poking something so it slightly moves"], PAIR])
def test_rows_are_blind_only_to_what_comes_with_its_reverse(labels: list[str]) -> None:
    """Of a set with other labels too, blind rows may know one from another."""
    drawn = replace(DATA, drawing={"labels": labels})
    rows = [*runs("I/m2a-attention", 69.0, 71.0, data=drawn), *runs("I/none", 50.0, 50.0, data=drawn)]
    (one,) = orderings_content(group_results(rows))
    assert one["verdict"] == ("both blind" if labels == PAIR else "holds")


@pytest.mark.parametrize("change", [{"config": {"size": 48}}, {"data": replace(DATA, drawing={"difficulty": 0.9})}])
def test_changed_rows_stand_beside_none_that_were_run_otherwise(change: dict[str, Any]) -> None:
    zeros = {"mechanism_options": {"boundary": "zero"}}
    changed = runs("I/m2a", 90.0, 91.0, changes=zeros)
    for same, gain in (({}, 40.0), (change, None)):
        groups = group_results([*changed, *runs("I/m2a", 50.0, 51.0, **same), *runs("I/none", 50.0, 51.0, **same)])
        (one,) = ablations_content(groups)
        assert (one["gain"] and one["gain"]["mean"]) == gain
        assert [one["gain"]["mean"] for one in changed_orderings_content(groups)] == [gain] * (gain is not None)


def test_a_changed_recipe_stands_there_once(tmp_path: Path) -> None:
    """Though R18/m2a-plus, run with the same change, gives its table the runs of I/m2a too."""
    for recipe in ("I/m2a", "R18/m2a-plus"):
        put(tmp_path, made(recipe, changes={"epochs": 3}))
    table = ablations_table(read_groups(tmp_path))
    assert table is not None
    assert [row[0] for row in table.rows] == ["I/m2a", "R18/m2a-plus"]


def test_a_changed_recipe_stands_beside_the_same_seeds_of_the_unchanged_one() -> None:
    changes = {"mechanism_options": {"inner_skip": "none"}}
    results = [
        *runs("I/m2a", 50.0, 60.0, 70.0), *runs("I/m2a", 10.0, weights=FILE), *runs("I/none", 33.0),
        *runs("I/m2a", 65.0, 77.0, first_seed=1, changes=changes),
        *runs("I/none", 44.0, weights=IMAGENET, changes=changes),
    ]  # fmt: skip
    table = ablations_table(group_results(results))
    assert table is not None
    named = "mechanism_options.inner_skip=none"
    assert set(table.rows) == {
        ("I/m2a", named, "synthetic, tiny, random weights", "1, 2", "71.0 ± 76.2", "35.5 ± 38.1",
         "the recipe as it is", "65.0 ± 63.5", "+6.0 ± 12.7"),
        ("I/none", named, "synthetic, tiny, ImageNet weights", "0", "44.0", "22.0",
         "the recipe as it is", "-", "-"),
    }  # fmt: skip
    content = {one["recipe"]: one for one in ablations_content(group_results(results))}
    assert content["I/m2a"]["beside_top1"] == {1: 60.0, 2: 70.0}
    assert content["I/none"]["gain"] is None
    assert ablations_table(group_results(runs("I/m2a", 1.0))) is None


def test_two_changes_stand_beside_each_of_them_where_it_was_run() -> None:
    """And beside the recipe as it is where neither was."""
    longer, skip = {"epochs": 3}, {"mechanism_options": {"inner_skip": "none"}}
    zeros = {"mechanism_options": {"inner_skip": "none", "boundary": "zero"}}
    base, both = [*runs("I/m2a", 50.0)], [*runs("I/m2a", 67.0, changes=longer | skip)]

    def found(*results: Result) -> dict[str, float | None]:
        content = ablations_content(group_results([*base, *both, *results]))
        return {str(one["beside"]): one["gain"]["mean"] for one in content if one["changes"] == longer | skip}

    assert found() == {"{}": 17.0}
    one = runs("I/m2a", 55.0, changes=longer)
    assert found(*one) == {str(longer): 12.0}
    assert found(*one, *runs("I/m2a", 60.0, changes=skip)) == {str(longer): 12.0, str(skip): 7.0}
    assert found(*runs("I/m2a", 1.0, changes=zeros), *runs("I/m2a", 2.0, first_seed=7, changes=longer)) == {"{}": 17.0}
