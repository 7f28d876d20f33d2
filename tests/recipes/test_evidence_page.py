"""The page of results and Figure 5, from results that are given."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_results import DATA, FILE, made, put

from m2a.errors import DataError
from m2a.recipes.claims import ZEROS
from m2a.recipes.class_gains import class_gains
from m2a.recipes.evidence import (
    NOTHING,
    anchor,
    changed_results,
    command_of,
    orderings,
    picture_name,
    read_groups,
    table_results,
)
from m2a.recipes.groups import Group, group_results
from m2a.recipes.rows import TABLES
from m2a.reporting.class_bars import sorted_labels

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "paper_tables.py"))
UP, DOWN = "Moving something up", "Moving something down"
DRAWN = replace(DATA, name="edition-1", drawing={"edition": 1, "labels": [UP, DOWN]})


def table_five(folder: Path) -> Group:
    """m2a on seeds 0 to 2, tam on 0 and 1, tea on another one."""
    runs = [("m2a", 0, 60.0, 70.0), ("m2a", 1, 64.0, 80.0), ("m2a", 2, 1.0, 1.0), ("tam", 0, 50.0, 75.0)]
    runs += [("tam", 1, 50.0, 75.0), ("tea", 7, 50.0, 50.0)]
    for mechanism, seed, up, down in runs:
        per_class = {UP: up, DOWN: down, "Holding something": None}
        put(folder, made(f"V/{mechanism}", seed=seed, data=DRAWN, per_class=per_class, seconds=90.0 + seed))
    (group,) = read_groups(folder)
    return group


def test_gains_are_over_the_seeds_that_both_were_run_with(tmp_path: Path) -> None:
    (gains,) = class_gains(table_five(tmp_path))
    assert (gains.rival, gains.seeds) == ("tam", (0, 1))
    assert {label: gain.mean for label, gain in gains.gains.items()} == {UP: 12.0, DOWN: 0.0}
    assert gains.gains[UP].half_width == pytest.approx(12.706 * 2, rel=1e-3)  # 10 and 14: s = 2.83, / sqrt(2) = 2
    assert class_gains(group_results([made("I/m2a")])[0]) == []


def test_bars_are_sorted_by_the_mean_of_the_columns() -> None:
    bars = {"tam": {"a": (1.0, None), "b": (5.0, None), "c": (0.0, 1.0)}, "tea": {"a": (9.0, None), "b": (1.0, None)}}
    assert sorted_labels(bars) == ["a", "b"]


@pytest.mark.parametrize(
    ("changes", "command"),
    [
        ({}, "I/none I/m2a --data synthetic --scale tiny --pretrained none --seeds 0"),
        ({"weights": FILE}, "I/none I/m2a --data synthetic --scale tiny --pretrained w.pth --seeds 0"),
        (
            {"changes": {"epochs": 2, "flip": True, "milestones": [1, 2], "mechanism_options": {"boundary": "zero"}}},
            "I/none I/m2a --data synthetic --scale tiny --pretrained none --epochs 2 --flip "
            "--mechanism-options.boundary zero --milestones 1 --milestones 2 --seeds 0",
        ),
        (
            {"changes": {"channels_last": False, "mechanism_options": {"released_backward": True}}},
            "I/none I/m2a --data synthetic --scale tiny --pretrained none --no-channels-last "
            "--mechanism-options.released_backward true --seeds 0",
        ),
    ],
)
def test_the_command_that_makes_a_table(changes: dict[str, Any], command: str) -> None:
    (group,) = group_results([made("I/none", **changes), made("I/m2a", **changes)])
    assert command_of(group) == f"m2a paper run {command}"


def test_a_whole_table_is_named_by_its_number() -> None:
    rows = ("none", "m2a-attention", "m2a-motion", "m2a")
    (group,) = group_results([made(f"I/{row}", seed=seed) for row in rows for seed in (1, 0)])
    assert command_of(group).startswith("m2a paper run I --data")
    assert command_of(group).endswith("--seeds 0 1")


def test_a_page_shows_each_group_with_its_command_and_what_made_it(tmp_path: Path) -> None:
    group = table_five(tmp_path)
    put(tmp_path, made("I/m2a", top1=44.0))
    put(tmp_path, made("I/m2a", top1=45.0, weights=FILE))
    put(tmp_path, made("I/m2a", top1=46.0, changes={"epochs": 3}))
    put(tmp_path, made("I/m2a", top1=48.0, changes={"train_clips_per_class": 3}, num_train=18))
    put(tmp_path, made("I/m2a", top1=47.0, changes={"mechanism_options": {"inner_skip": "none"}}))
    groups = read_groups(tmp_path)
    one, five = table_results(groups, "I"), table_results(groups, "V")
    headings = [line.removeprefix("## ") for line in one.splitlines() if line.startswith("## ")]
    assert headings == [
        "synthetic, tiny: 12 clips of 32 pixels, ImageNet weights",
        "synthetic, tiny: 12 clips of 32 pixels, random weights",
        "synthetic, tiny: 12 clips of 32 pixels, random weights, epochs=3",
        "synthetic, tiny: 18 clips of 32 pixels, random weights",
    ]
    assert all(f"- [{heading}](#{anchor(heading)})\n" in one for heading in headings)
    assert anchor(headings[2]) == "synthetic-tiny-12-clips-of-32-pixels-random-weights-epochs3"
    assert "from ImageNet weights (w.pth, sha256 0123456789ab)" in one
    assert "| m2a | 14.81 | 34.7 | 63.4 | 1.000 | 44.0 | 90.0 | 22.0 | 1 |" in one
    assert one.count("Compare the order of rows, not figures.") == 1
    assert "inner_skip" not in one
    assert "![" not in one
    assert "from random weights, edition-1 (6 classes" in five
    assert f"```bash\n{command_of(group)}\n```" in five
    assert "| tsm | 14.57 | 39.0 | - | - | - | - | - | - |" in five
    assert "6 runs, 1.5 to 1.6 minutes each, 0.2 hours in all" in five
    assert "2 x some processor; torch ?; commit unknown." in five
    assert "Blind to the order of frames, 50.0%" in five
    assert f"![Top-1 of m2a less that of tam, for each class](../images/{picture_name(group)})" in five
    assert picture_name(group) == "figure-5-tiny-edition-1-scratch.png"
    assert "zeros" not in one
    both = [line for line in table_results(groups, "I", "V").splitlines() if line.startswith("## ")]
    assert [line[3:].split(":")[0] for line in both] == ["I"] * 4 + ["V"]
    assert table_results(groups, "II") == table_results([], "I") == NOTHING


def test_rows_with_zeros_stand_below_the_same_without_in_every_table(tmp_path: Path) -> None:
    put(tmp_path, made("I/none", top1=30.0))
    put(tmp_path, made("V/tsm", top1=60.0))
    for seed in (0, 1):
        put(tmp_path, made("I/m2a", seed=seed, top1=44.0))
        put(tmp_path, made("I/m2a", seed=seed, top1=48.0 + seed, changes=dict(ZEROS)))
    put(tmp_path, made("I/m2a", top1=90.0, changes={"epochs": 3, **ZEROS}))
    put(tmp_path, made("I/m2a", top1=91.0, weights=FILE, changes=dict(ZEROS)))
    groups = read_groups(tmp_path)
    for table, runs in (("I", "5 runs"), ("V", "5 runs, 4 of them for other tables")):
        shown = table_results(groups, table)
        (row,) = (line for line in shown.splitlines() if line.startswith("| m2a, zeros |"))
        assert row == "| m2a, zeros | - | - | - | 1.000 | 48.5 ± 6.4 | 90.0 ± 0.0 | 24.2 ± 3.2 | 2 |"
        assert "zeros: zeros follow the last frame" in shown
        assert f"m2a paper run {table}/m2a --data synthetic" in shown
        assert "--mechanism-options.boundary zero --seeds 0 1\n```" in shown
        assert f"{runs}, 0.1 to 0.1 minutes each" in shown


def test_changes_stand_on_a_page_beside_the_same_without(tmp_path: Path) -> None:
    put(tmp_path, made("I/m2a", top1=44.0))
    assert changed_results(read_groups(tmp_path)) == NOTHING
    put(tmp_path, made("I/m2a", top1=47.0, changes={"mechanism_options": {"inner_skip": "none"}}))
    shown = changed_results(read_groups(tmp_path))
    assert "| I/m2a | mechanism_options.inner_skip=none | synthetic, tiny, random weights | 0 | 47.0 |" in shown
    assert "| 44.0 | +3.0 (one seed) |" in shown
    assert "--mechanism-options.inner_skip none --seeds 0\n```" in shown


def test_what_is_between_the_marks_is_made_anew(tmp_path: Path) -> None:
    blocks = {"orderings": orderings, "results": lambda groups: table_results(groups, "I")}
    page = "".join(f"<!-- {name}:begin -->\nold\n<!-- {name}:end -->\nkept\n" for name in blocks)
    without = SCRIPT["render"](page, [], blocks)
    assert without == page.replace("old\n", f"\n{NOTHING}\n")
    put(tmp_path, made())
    made_anew = SCRIPT["render"](without, read_groups(tmp_path), blocks)
    assert "## synthetic, tiny: 12 clips of 32 pixels, random weights\n" in made_anew
    assert "| I: m2a > none |" in made_anew
    assert made_anew == SCRIPT["render"](made_anew, read_groups(tmp_path), blocks)
    with pytest.raises(SystemExit, match="must have the marks"):
        SCRIPT["render"]("# Evidence", [], blocks)


def test_every_table_has_a_page_and_every_set_of_clips_a_column() -> None:
    pages = {path.name: blocks for path, blocks in SCRIPT["PAGES"].items()}
    groups = read_groups(SCRIPT["RESULTS"])
    written = "".join(write(groups) for blocks in pages.values() for name, write in blocks.items() if name == "results")
    for page in pages.values():
        text = "".join(write(groups) for name, write in page.items() if name == "results")
        headings = [line for line in text.splitlines() if line.startswith("## ")]
        assert len(headings) == len(set(map(anchor, headings)))
    for group in groups:
        assert f"(../../paper/results/{group.table})" in written
        assert group.other_models or f"```bash\n{command_of(group)}\n" in written
    assert set(SCRIPT["PAPER"]) == set(TABLES)
    known = [column for columns in SCRIPT["CLAIMS"].values() for column in columns]
    assert {column.data for column in known} == {group.data.name for group in groups}


def test_runs_made_twice_stand_beside_each_other(tmp_path: Path) -> None:
    versions, again = {"torch": "2.9"}, tmp_path / "again"
    for seed, top1 in enumerate((50.0, 60.0, 70.0)):
        put(tmp_path / "once", made("V/tsm", seed=seed, top1=top1, versions=versions))
    for seed, top1 in ((0, 51.0), (2, 66.0)):
        put(again, made("V/tsm", seed=seed, top1=top1, versions=versions, hardware="a GPU"))
    shown = SCRIPT["repeats"](read_groups(tmp_path / "once"), again)
    assert "| V/tsm |  | 0 | 50.0 | 51.0 | +1.0 |\n| V/tsm |  | 2 | 70.0 | 66.0 | -4.0 |\n" in shown
    assert "once: 2 x some processor, torch 2.9; again: a GPU, torch 2.9." in shown
    assert "over all 2: -1.5 ± 31.8 points" in shown  # 12.706 * 5 / sqrt(2) / sqrt(2)
    with pytest.raises(KeyError):
        SCRIPT["repeats"]([], again)


def test_pictures_of_other_results_are_known(tmp_path: Path) -> None:
    group, pictures = table_five(tmp_path), tmp_path / "images"
    pictures.mkdir()
    name = picture_name(group)
    assert SCRIPT["stale_pictures"]([group], pictures) == [name]
    SCRIPT["draw"]([group], pictures)
    assert SCRIPT["stale_pictures"]([group], pictures) == []
    changed = replace(group, results=tuple(replace(r, per_class={UP: 1.0 + r.seed}) for r in group.results))
    assert SCRIPT["stale_pictures"]([changed], pictures) == [name]
    assert SCRIPT["stale_pictures"]([], pictures) == [name]
    SCRIPT["draw"]([], pictures)
    assert list(pictures.iterdir()) == []


def test_results_of_one_name_and_other_settings_are_refused(tmp_path: Path) -> None:
    put(tmp_path, made("I/none"))
    put(tmp_path, made("I/m2a", config={"size": 48}))
    with pytest.raises(DataError, match=r"Results of Table I, tiny-synthetic-scratch were made with other settings"):
        read_groups(tmp_path)
