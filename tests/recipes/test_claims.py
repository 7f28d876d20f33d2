"""The claims at a glance and the table of what was run, from results that are given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from made_results import DATA, IMAGENET, made, put

from m2a.recipes.claims import ZEROS, Column, claims_table
from m2a.recipes.coverage import coverage_table
from m2a.recipes.evidence import read_groups
from m2a.recipes.groups import Group

SCRATCH = Column(title="scratch", data="synthetic", scale="tiny", random=True)
LONGER = replace(SCRATCH.changed({"epochs": 3}), title="longer")
IMAGE = Column(title="image", data="synthetic", scale="tiny")
COLUMNS = (SCRATCH, LONGER, IMAGE)


def results(folder: Path) -> list[Group]:
    """M2A is above none and below its motion half, with zeros above that, all from random weights; TSM, longer
    trained, is 4 above it on one seed."""
    for seed in (0, 1, 2):
        put(folder, made("I/none", seed=seed, top1=40.0 - seed))
        put(folder, made("I/m2a-motion", seed=seed, top1=60.0 + 2 * seed))
        put(folder, made("I/m2a", seed=seed, top1=50.0 + seed))
        put(folder, made("I/m2a", seed=seed, top1=70.0 + 2 * seed, changes=dict(ZEROS)))
        put(folder, made("I/m2a-motion", seed=seed, top1=66.0 + seed, changes=dict(ZEROS)))
    put(folder, made("V/m2a", top1=50.0, changes={"epochs": 3}))
    put(folder, made("V/tsm", top1=54.0, changes={"epochs": 3}))
    put(folder, made("V/tsm", top1=99.0, data=replace(DATA, name="other")))
    put(folder, made("V/m2a", top1=98.0, data=replace(DATA, name="other")))
    return read_groups(folder)


def test_each_claim_has_a_line_and_each_setting_a_column(tmp_path: Path) -> None:
    table = claims_table(results(tmp_path), "Claims", COLUMNS)
    assert table.head == ("table: rows", "paper", "scratch", "longer", "image")
    shown = {row[0]: [cell.replace("\N{NO-BREAK SPACE}", " ") for cell in row[2:]] for row in table.rows}
    assert shown == {
        "I: m2a > m2a-motion": ["-11.0 ± 2.5 **reversed**<br>*z* +5.0 ± 2.5 **yes**", "-", "-"],
        "I: m2a > none": ["+12.0 ± 5.0 **yes**<br>*z* +33.0 ± 7.5 **yes**", "-", "-"],
        "V: tsm > m2a": ["-", "+4.0 (one seed) open", "-"],
    }


def test_a_row_with_zeros_is_not_set_beside_one_that_takes_them_and_has_none(tmp_path: Path) -> None:
    put(tmp_path, made("I/m2a-motion", top1=60.0))
    put(tmp_path, made("I/m2a", top1=70.0, changes=dict(ZEROS)))
    assert claims_table(read_groups(tmp_path), "Claims", COLUMNS).rows == ()


def test_a_tie_of_the_paper_is_above_or_below_here(tmp_path: Path) -> None:
    for seed in (0, 1, 2):
        put(tmp_path, made("V/m2a", seed=seed, top1=50.0 + seed, weights=IMAGENET))
        put(tmp_path, made("V/tea", seed=seed, top1=57.0 + 2 * seed, weights=IMAGENET))
    ((claim, paper, *cells),) = claims_table(read_groups(tmp_path), "Claims", COLUMNS).rows
    assert (claim, paper) == ("V: m2a ≈ tea", "+0.4")
    assert cells == ["-", "-", "-8.0 ± 2.5 **below**".replace(" ", "\N{NO-BREAK SPACE}")]


def test_rows_that_are_blind_are_marked_where_clips_come_with_their_reverses(tmp_path: Path) -> None:
    drawn = replace(DATA, drawing={"labels": ["Moving something up", "Moving something down"]})
    for seed in (0, 1):
        for row, top1, step in (("none", 50, 0), ("m2a-attention", 51, 0), ("m2a-motion", 80, 1), ("m2a", 90, 2)):
            put(tmp_path, made(f"I/{row}", seed=seed, top1=float(top1 + step * seed), data=drawn))
    table = claims_table(read_groups(tmp_path), "Claims", COLUMNS)
    assert {row[0]: row[2].replace("\N{NO-BREAK SPACE}", " ") for row in table.rows} == {
        "I: m2a-attention > none": "+1.0 ± 0.0 (2 seeds) both blind",
        "I: m2a-motion > m2a-attention": "+29.5 ± 6.4 (2 seeds) **yes**‡",
        "I: m2a > m2a-motion": "+10.5 ± 6.4 (2 seeds) **yes**",
        "I: m2a > none": "+41.0 ± 12.7 (2 seeds) **yes**‡",
    }


def test_seeds_are_counted_by_row_and_setting_those_with_zeros_apart(tmp_path: Path) -> None:
    table = coverage_table(results(tmp_path), COLUMNS)
    shown = {row[0]: row[1:] for row in table.rows}
    assert shown["I/none"] == ("3", "-", "-")
    assert shown["I/m2a"] == ("3 + 3z", "-", "-")
    assert shown["V/m2a"] == ("-", "1", "-")
    assert shown["V/tsm"] == ("-", "1", "-")
    assert shown["II/m2a-attention"] == ("-", "-", "-")
