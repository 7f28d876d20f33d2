"""Rows of several tables that are the same model: one's results stand in the others, and it is said where from."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_results import DATA, FILE, made, put

from m2a.errors import DataError
from m2a.recipes.class_gains import class_gains
from m2a.recipes.evidence import command_of, read_groups, table_results
from m2a.recipes.groups import Group, group_results
from m2a.recipes.results import Result, write_result
from m2a.recipes.shared import SharedResult, read_results
from m2a.recipes.tables import results_table, table_content


def only_group(folder: Path, table: str) -> Group:
    (group,) = group_results(read_results(folder, table))
    return group


def shared_note(group: Group) -> list[str]:
    return [note for note in results_table(group.table, group).notes if "same model" in note]


@pytest.mark.parametrize(
    ("run", "recipe"),
    [
        ("I/m2a", "IV/m2a"), ("I/m2a", "V/m2a"), ("I/m2a", "VI/m2a:m2a"), ("VI/m2a:m2a", "I/m2a"),
        ("V/tam", "VI/none:tam"), ("VI/m2a:none", "I/m2a-motion"),
    ],
)  # fmt: skip
def test_a_result_stands_in_other_tables_under_their_names(run: str, recipe: str, tmp_path: Path) -> None:
    table, _, mechanism = recipe.partition("/")
    ours = made(run, seed=3, top1=61.0)
    put(tmp_path, ours)
    (result,) = read_results(tmp_path, table)
    assert isinstance(result, SharedResult)
    assert (result.recipe, result.table, result.mechanism, result.run_as) == (recipe, table, mechanism, run)
    assert vars(result) == vars(ours) | {
        "recipe": recipe, "table": table, "mechanism": mechanism, "origin": run,
    }  # fmt: skip
    assert read_results(tmp_path, ours.table) == [ours]
    assert ours.run_as == run


def test_other_models_and_networks_are_not_taken(tmp_path: Path) -> None:
    for recipe in ("I/m2a", "I/none", "II/m2a", "III/m2a", "V/tsm", "VI/tdn:tam", "IV/m2a:patch8"):
        put(tmp_path, made(recipe))
    assert {result.recipe for result in read_results(tmp_path, "V")} == {"V/tsm", "V/m2a"}
    assert [result.recipe for result in read_results(tmp_path, "II")] == ["II/m2a"]
    assert [result.recipe for result in read_results(tmp_path, "III")] == ["III/m2a"]
    assert {result.recipe for result in read_results(tmp_path, "IV")} == {"IV/m2a:patch8", "IV/m2a"}


def test_a_tables_own_result_wins_seed_by_seed(tmp_path: Path) -> None:
    """Of several other tables, the first has its way."""
    for recipe, seed, top1 in (("I/m2a", 0, 10.0), ("I/m2a", 1, 20.0), ("IV/m2a", 1, 25.0), ("IV/m2a", 2, 30.0)):
        put(tmp_path, made(recipe, seed=seed, top1=top1))
    put(tmp_path, made("V/m2a", seed=0, top1=70.0))
    group = only_group(tmp_path, "V")
    assert [(result.seed, result.top1, result.run_as) for result in group.of("V/m2a")] == [
        (0, 70.0, "V/m2a"),
        (1, 20.0, "I/m2a"),
        (2, 30.0, "IV/m2a"),
    ]
    (note,) = shared_note(group)
    assert note.endswith("m2a: run as I/m2a (seed 1) and IV/m2a (seed 2).")
    row = next(row for row in table_content(group)["rows"] if row["recipe"] == "V/m2a")
    assert row["measured"]["run_as"] == {"V/m2a": [0], "I/m2a": [1], "IV/m2a": [2]}


@pytest.mark.parametrize(
    "changes",
    [
        {"scale": "small"},
        {"weights": FILE},
        {"changes": {"epochs": 2}},
        {"data": replace(DATA, fingerprint="ffffffff")},
        {"config": {"size": 48}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_results_of_other_settings_stand_apart_and_do_not_fill_in(changes: dict[str, Any], tmp_path: Path) -> None:
    put(tmp_path, made("V/tsm"))
    write_result(tmp_path / "I" / "other.json", made("I/m2a", top1=10.0, **changes))
    groups = group_results(read_results(tmp_path, "V"))
    assert sorted([(r.recipe, r.top1) for r in group.results] for group in groups) == [
        [("V/m2a", 10.0)],
        [("V/tsm", 50.0)],
    ]
    assert [group.table for group in read_groups(tmp_path) if group.table == "V"] == ["V"]  # the page: no one ran it


def test_what_does_not_change_a_model_is_not_compared(tmp_path: Path) -> None:
    """Each row has its mechanism among its options, and its folder."""
    put(tmp_path, made("VI/none", config={"size": 32, "mechanism": "none", "out": "a", "workers": 2}))
    put(tmp_path, made("VI/m2a:m2a", config={"size": 32, "mechanism": "m2a:m2a", "out": "b", "workers": 0}))
    put(tmp_path, made("I/m2a-motion", config={"size": 32, "mechanism": "m2a-motion", "out": "c", "workers": 1}))
    measured = [row.mechanism for row, found in only_group(tmp_path, "I").rows if found]
    assert measured == ["none", "m2a-motion", "m2a"]


def test_a_file_of_another_table_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    put(tmp_path, made("I/m2a"))
    path = put(tmp_path, made("VI/tdn:tam"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 1}))
    for table in ("I", "IV", "V", "VI"):
        with pytest.raises(DataError, match=rf"{path} has schema 1.*Delete it and run the row again"):
            read_results(tmp_path, table)
    assert read_results(tmp_path, "II") == []  # shares no model with Table VI
    path.rename(tmp_path / "V.json")
    (tmp_path / "IV").mkdir()
    write_result(tmp_path / "IV" / "misplaced.json", made("I/none"))
    with pytest.raises(DataError, match=r"misplaced\.json is a result of Table I\. Move it"):
        read_results(tmp_path, "V")


def test_a_files_own_word_for_where_it_is_from_is_not_taken(tmp_path: Path) -> None:
    path = put(tmp_path, made("V/m2a"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"origin": "I/m2a"}))
    with pytest.raises(DataError, match="unexpected keyword argument 'origin'"):
        read_results(tmp_path, "V")


def test_a_table_says_which_rows_were_run_for_another(tmp_path: Path) -> None:
    for seed in (0, 1):
        put(tmp_path, made("I/m2a", top1=60.0 + seed, seed=seed))
        put(tmp_path, made("V/tsm", seed=seed))
    put(tmp_path, made("VI/none:tam", top1=40.0))
    group = only_group(tmp_path, "V")
    shown = {row[0]: row for row in results_table("V", group).rows}
    assert (shown["m2a"][5], shown["m2a"][8]) == ("60.5 ± 6.4", "2")
    assert (shown["tam"][5], shown["tea"][5]) == ("40.0", "-")
    assert shared_note(group) == [
        "A row that is the same model as another table's shows the runs of that one. m2a: run as I/m2a. tam: run as "
        "VI/none:tam."
    ]
    assert shared_note(only_group(tmp_path, "I")) == []


def test_the_page_names_every_folder_and_shows_no_table_that_no_one_ran(tmp_path: Path) -> None:
    put(tmp_path, made("I/m2a", seconds=60.0))
    put(tmp_path, made("I/m2a", seconds=60.0, seed=1))
    put(tmp_path, made("VI/none:tam", seconds=120.0))
    put(tmp_path, made("V/tsm", seconds=180.0))
    groups = read_groups(tmp_path)
    assert [group.table for group in groups] == ["I", "V", "VI"]  # of Table IV, m2a alone, as run for Table I
    text = table_results(groups, "V")
    assert "4 runs, 3 of them for other tables, 1.0 to 3.0 minutes each, 0.1 hours in all" in text
    places = [f"[paper/results/{table}](../../paper/results/{table})" for table in ("I", "V", "VI")]
    assert f"From {', '.join(places)}." in text
    assert "m2a: run as I/m2a. tam: run as VI/none:tam." in text
    words = "--data synthetic --scale tiny --pretrained none --seeds"
    assert command_of(groups[1]).splitlines() == [
        f"m2a paper run V/tsm V/tam {words} 0",
        f"m2a paper run V/m2a {words} 0 1",
    ]


def test_a_table_that_others_fill_whole_is_shown(tmp_path: Path) -> None:
    for mechanism in ("none", "none:m2a", "m2a:none", "m2a:m2a"):
        put(tmp_path, made(f"VI/{mechanism}"))
    groups = read_groups(tmp_path)
    assert [group.table for group in groups] == ["I", "VI"]
    assert "4 runs, 4 of them for other tables" in table_results(groups, "I")


def test_figure_5_takes_results_of_other_tables(tmp_path: Path) -> None:
    label = "Moving something up"
    put(tmp_path, made("I/m2a", per_class={label: 60.0}))
    put(tmp_path, made("VI/none:tam", per_class={label: 45.0}))
    (gains,) = class_gains(only_group(tmp_path, "V"))
    assert (gains.rival, gains.seeds, gains.gains[label].mean) == ("tam", (0,), 15.0)


def test_a_table_alone_is_read_without_torch(tmp_path: Path) -> None:
    """To know which rows are the same model takes the mechanisms."""
    put(tmp_path, made("I/m2a"))
    code = (
        "import sys; from pathlib import Path; from m2a.recipes import list_recipes, read_results; list_recipes(); "
        f"assert len(read_results(Path({str(tmp_path)!r}), 'I')) == 1; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=180)
    assert done.stdout.split() == ["False"]


def test_a_result_of_ones_own_is_no_shared_one(tmp_path: Path) -> None:
    put(tmp_path, made("V/m2a"))
    put(tmp_path, made("I/m2a"))
    assert [type(result) for result in read_results(tmp_path, "V")] == [Result]
