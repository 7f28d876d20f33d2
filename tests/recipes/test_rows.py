"""The paper's rows: the package's figures against the tests' copy, names, and what is said of the figures."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from m2a.errors import ConfigError
from m2a.recipes import TABLES, find_row, list_recipes
from m2a.recipes.costs import NOTES
from m2a.recipes.rows import OWN_TABLES, RELEASED, PaperRow, find_rows, find_table, twins

FIGURES = json.loads((Path(__file__).parents[1] / "measurement" / "figures.json").read_text(encoding="utf-8"))
ROWS = [row for rows in TABLES.values() for row in rows]
OWN = [row for rows in OWN_TABLES.values() for row in rows]


def test_the_papers_figures_are_the_tests_copy() -> None:
    assert list(TABLES) == list(FIGURES["tables"])
    for table, rows in TABLES.items():
        copy = FIGURES["tables"][table]
        assert {str(row.network) for row in rows} == {copy["network"]}
        ours = [(row.table, row.mechanism, row.gmacs, row.top1, row.top5) for row in rows]
        theirs = [(table, row["mechanism"], row.get("gmacs"), row["top1"], row.get("top5")) for row in copy["rows"]]
        assert ours == theirs


def test_the_released_codes_figures_are_the_tests_copy() -> None:
    ours = {
        str(network): {
            mechanism: {key: value for key, value in vars(cost).items() if value is not None}
            for mechanism, cost in costs.items()
        }
        for network, costs in RELEASED.items()
    }
    assert ours == {network: FIGURES[network] for network in ours}
    assert set(FIGURES) == {"what", "tables", *ours}


def test_names() -> None:
    names = list_recipes()
    assert len(names) == len(set(names))
    assert sum(name.partition("/")[0] in TABLES for name in names) == 34
    assert {"R18/m2a-plus", "MV2/tsm", "MV2/none:m2a-plus"} <= set(names)
    assert {"I/none", "I/m2a-attention", "III/m2a", "IV/m2a:patch8", "V/m2a+tsm", "VI/tdn:tam"} <= set(names)
    assert list_recipes("II") == ["II/none", "II/m2a-attention", "II/m2a-motion", "II/m2a"]
    assert [find_row(name).name for name in names] == names


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_released_figures_are_looked_up_by_the_mechanism_that_is_meant(row: PaperRow) -> None:
    """`none:m2a` of Table VI is `m2a-attention` of Table I."""
    halves = {
        "none:m2a": "m2a-attention", "m2a:none": "m2a-motion", "m2a:m2a": "m2a", "tea:none": "tea", "tdn:none": "tdn",
        "none:tam": "tam",
    }  # fmt: skip
    assert row.released is not None
    assert row.released == RELEASED[row.network][halves.get(row.mechanism, row.mechanism)]


def test_rows_that_are_the_same_model_are_found_under_every_spelling() -> None:
    """The paper repeats rows; what repeats which is read off its tables here."""
    same = [
        ("I/none", "VI/none", "R18/none"), ("I/m2a-attention", "VI/none:m2a"), ("I/m2a-motion", "VI/m2a:none"),
        ("I/m2a", "IV/m2a", "V/m2a", "VI/m2a:m2a", "R18/m2a"), ("IV/m2a:tam", "VI/m2a:tam"), ("V/tea", "VI/tea:none"),
        ("V/tdn", "VI/tdn:none"), ("V/tam", "VI/none:tam"), ("V/tsm", "R18/tsm"), ("V/m2a+tsm", "R18/m2a+tsm"),
        ("II/none", "MV2/none"),
        ("II/m2a", "MV2/m2a"),
    ]  # fmt: skip
    found = {row.name: [twin.name for twin in twins(row)] for row in [*ROWS, *OWN]}
    expected = {name: [other for other in names if other != name] for names in same for name in names}
    assert found == {row.name: [] for row in [*ROWS, *OWN]} | expected


def test_rows_of_names_and_tables_come_once() -> None:
    assert [row.name for row in find_rows(["I/m2a", "I", "IV/m2a"])] == [
        "I/m2a",
        "I/none",
        "I/m2a-attention",
        "I/m2a-motion",
        "IV/m2a",
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("I/m2b", r"no row 'I/m2b'\. Did you mean I/m2a.*Table I has none, m2a-attention, m2a-motion, m2a; "),
        ("I/tsm", r"no row 'I/tsm'\. Table I has none"),
        ("VI/tdn:tan", "Did you mean VI/tdn:tam"),
        ("tsm", r"Did you mean V/tsm .*\? A name is TABLE/MECHANISM, with the tables I, II, III, IV, V, VI"),
        ("VII/m2a", "Did you mean .*II/m2a"),
        ("i/m2a", "Did you mean .*I/m2a"),
        ("", "no row ''"),
    ],
)
def test_bad_names_suggest_near_ones(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_row(name)


def test_a_table_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"no Table 'VII'\. The tables are I, II, III, IV, V, VI"):
        find_table("VII")


def below(row: PaperRow) -> float:
    """How far the paper's GMACs lie below the released code's, counted as the paper did."""
    assert row.gmacs is not None
    assert row.released is not None
    assert row.released.gmacs_with_norms is not None
    return round(row.released.gmacs_with_norms - row.gmacs, 2)


def test_what_is_said_below_the_table_of_costs() -> None:
    text = " ".join(NOTES)
    assert [below(row) for row in TABLES["I"]] == [0.03, 0.04, 0.02, 0.02]
    assert "Table I is lower, by 0.03 (none), 0.04 (m2a-attention) and 0.02 (m2a-motion, m2a)" in text
    assert {below(row) for row in TABLES["V"]} == {0.02, 0.03}
    assert "Table V by 0.02 to 0.03" in text
    assert all(below(row) == 0 for row in TABLES["II"])
    assert "Table II agrees to the digit" in text
    for table in ("I", "III"):
        attention, both = find_row(f"{table}/m2a-attention"), find_row(f"{table}/m2a")
        assert round((both.gmacs or 0) - (attention.gmacs or 0), 2) == 0.02
        assert attention.released is not None
        assert both.released is not None
        assert attention.released.gmacs == both.released.gmacs
    assert "m2a-attention 0.02 below m2a, where the released code takes the same for both" in text
    above = {round((row.gmacs or 0) - (row.released.gmacs if row.released else 0), 2) for row in TABLES["III"]}
    assert (min(above), max(above)) == (0.05, 0.07)
    assert re.search(r"22\.52 and on, are 0\.05 to 0\.07 above", text)
