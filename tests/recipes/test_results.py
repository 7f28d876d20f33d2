"""Result files: written whole, read back or named when broken, grouped so that only comparable runs stand together."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_results import DATA, FILE, IMAGENET, RANDOM, made, put

from m2a.data.clipset import ClipFile, ClipSet
from m2a.errors import ConfigError, DataError, NotFoundError
from m2a.estimate import Estimate, estimate, t_quantile
from m2a.evaluation import PROBES as PROBES_OF_EVALUATION
from m2a.recipes.groups import group_results
from m2a.recipes.results import (
    PROBES,
    DataInfo,
    check_free,
    data_info,
    read_result,
    result_path,
    write_result,
)
from m2a.recipes.rows import find_row
from m2a.recipes.shared import read_results
from m2a.recipes.tables import results_table, table_content
from m2a.recipes.weights import start_weights


# Student's t, two-sided 95% and 99%, from printed tables
@pytest.mark.parametrize(
    ("degrees", "t95", "t99"),
    [
        (1, 12.706, 63.657), (2, 4.303, 9.925), (3, 3.182, 5.841), (4, 2.776, 4.604), (5, 2.571, 4.032),
        (9, 2.262, 3.250), (10, 2.228, 3.169), (29, 2.045, 2.756), (30, 2.042, 2.750), (120, 1.980, 2.617),
    ],
)  # fmt: skip
def test_students_t(degrees: int, t95: float, t99: float) -> None:
    assert t_quantile(0.95, degrees) == pytest.approx(t95, abs=6e-4)
    assert t_quantile(0.99, degrees) == pytest.approx(t99, abs=6e-4)


def test_an_interval_by_hand() -> None:
    """40, 44, 48: mean 44, s = 4, so 4.3027 * 4 / sqrt(3) = 9.937."""
    three = estimate([40.0, 44.0, 48.0])
    assert (three.mean, three.n) == (44.0, 3)
    assert three.half_width == pytest.approx(4.3027 * 4 / math.sqrt(3), abs=1e-3)
    assert str(three) == "44.0 ± 9.9"
    assert estimate([41.0]) == Estimate(mean=41.0, half_width=None, n=1)
    assert str(estimate([41.0])) == "41.0"
    assert str(estimate([41.0, 41.0])) == "41.0 ± 0.0"


def test_files_have_safe_names(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"scale": "small", "data": "synthetic", "weights": RANDOM, "seed": 3, "changes": {}}

    def name(recipe: str, **changes: Any) -> str:
        path = result_path(tmp_path, find_row(recipe), **(settings | changes))
        return path.relative_to(tmp_path).as_posix()

    assert name("I/m2a") == "I/m2a-small-synthetic-scratch-seed3.json"
    assert name("I/m2a", weights=IMAGENET) == "I/m2a-small-synthetic-imagenet-seed3.json"
    assert name("IV/m2a:patch8", weights=FILE) == "IV/m2a-patch8-small-synthetic-imagenet-seed3.json"
    assert name("V/m2a+tsm") == "V/m2a-plus-tsm-small-synthetic-scratch-seed3.json"
    assert name("I/m2a", data="my clips/../x") == "I/m2a-small-my-clips-..-x-scratch-seed3.json"
    changed = name("I/m2a", changes={"epochs": 2})
    assert changed.startswith("I/m2a-small-synthetic-scratch-seed3-changed-")
    assert changed != name("I/m2a", changes={"epochs": 3})


def test_a_result_survives_the_disk(tmp_path: Path) -> None:
    result = made(changes={"epochs": 2})
    path = put(tmp_path, result)
    assert read_result(path) == result
    assert [other.name for other in path.parent.iterdir()] == [path.name]


def test_a_result_has_every_probe_there_is() -> None:
    assert list(PROBES) == list(PROBES_OF_EVALUATION)


def test_a_result_is_never_replaced_unasked(tmp_path: Path) -> None:
    path = put(tmp_path, made())
    with pytest.raises(
        ConfigError, match=rf"a result already: {path}\. To keep it, .*; .* replace it with --overwrite"
    ):
        check_free(path, overwrite=False)
    check_free(path, overwrite=True)
    check_free(path.with_name("other.json"), overwrite=False)


def test_only_comparable_results_stand_in_one_table(tmp_path: Path) -> None:
    other_data = replace(DATA, fingerprint="ffffffff")
    for result in (
        made("I/none", top1=40.0),
        made("I/none", top1=44.0, seed=1),
        made("I/none", top1=48.0, seed=2),
        made("I/m2a", top1=60.0),
        made("I/m2a", top1=70.0, scale="small"),
        made("I/m2a", top1=80.0, changes={"epochs": 2}),
        made("VI/none", top1=10.0),
    ):
        put(tmp_path, result)
    write_result(tmp_path / "I" / "other.json", made("I/m2a", top1=90.0, data=other_data))
    write_result(tmp_path / "I" / "older.json", made("I/m2a", top1=5.0, config={"size": 48, "seed": 7}))
    groups = group_results(read_results(tmp_path, "I"))
    found = [
        (group.scale, group.data.fingerprint, group.changes, [row.name for row, measured in group.rows if measured])
        for group in groups
    ]
    assert found == [
        ("small", DATA.fingerprint, {}, ["I/m2a"]),
        ("tiny", DATA.fingerprint, {}, ["I/none", "I/m2a"]),
        ("tiny", DATA.fingerprint, {}, ["I/m2a"]),
        ("tiny", "ffffffff", {}, ["I/m2a"]),
        ("tiny", DATA.fingerprint, {"epochs": 2}, ["I/m2a"]),
    ]
    measured = dict(zip([row.mechanism for row, _ in groups[1].rows], groups[1].rows, strict=True))["none"][1]
    assert measured is not None
    assert (measured.top1.mean, measured.seeds) == (44.0, (0, 1, 2))
    assert measured.top1.half_width == pytest.approx(9.937, abs=1e-3)
    assert group_results(read_results(tmp_path, "II")) == []


def test_runs_before_and_after_the_library_had_an_option_are_comparable(tmp_path: Path) -> None:
    put(tmp_path, made("I/none", config={"size": 64}))
    put(tmp_path, made("I/m2a", config={"size": 64, "class_weights": "none"}))
    put(tmp_path, made("I/m2a-motion", config={"size": 64, "class_weights": "balanced"}))
    groups = group_results(read_results(tmp_path, "I"))
    rows = [sorted(row.name for row, measured in group.rows if measured) for group in groups]
    assert sorted(rows) == [["I/m2a", "I/none"], ["I/m2a-motion"]]


def test_a_table_shows_the_paper_beside_what_was_measured(tmp_path: Path) -> None:
    drawn = replace(DATA, drawing={"labels": ["Moving something up", "Moving something down"]})
    for seed, top1 in enumerate((40.0, 44.0, 48.0)):
        put(tmp_path, made("I/none", top1=top1, seed=seed, data=drawn))
    put(tmp_path, made("I/m2a", top1=60.0, data=drawn, num_clips=5, skipped=[{"path": "a", "reason": "b"}]))
    (group,) = group_results(read_results(tmp_path, "I"))
    shown = results_table("I", group)
    title = "Table I, resnet18: scale tiny, from random weights, synthetic (6 classes, 12 + 6 clips, 0123abcd)"
    assert shown.title == title
    assert [row[0] for row in shown.rows] == ["none", "m2a-attention", "m2a-motion", "m2a"]
    assert shown.rows[0] == ("none", "14.57", "13.9", "38.9", "1.000", "44.0 ± 9.9", "90.0 ± 0.0", "22.0 ± 5.0", "3")
    assert shown.rows[1] == ("m2a-attention", "14.79", "16.9", "42.0", "-", "-", "-", "-", "-")
    assert shown.rows[3][4:] == ("1.000", "60.0", "90.0", "30.0", "1")
    assert any("Here: synthetic, 6 classes, 32 pixels, random weights." in note for note in shown.notes)
    assert any("could not be decoded, over all runs: 1" in note for note in shown.notes)
    assert (
        "Blind to the order of frames, 50.0% is the most one can expect. It is a ceiling for none, which gives a clip "
        "and its reverse the same scores."
    ) in shown.notes
    assert "| none | 14.57 | 13.9 | 38.9 | 1.000 | 44.0 ± 9.9 | 90.0 ± 0.0 | 22.0 ± 5.0 | 3 |" in shown.markdown()
    assert "| --- | ---: |" in shown.markdown()
    content = table_content(group)
    assert content["rows"][0]["measured"]["seeds"] == [0, 1, 2]
    assert (content["rows"][0]["measured"]["shuffled"], content["ceiling"]) == (22.0, 50.0)
    assert content["rows"][1]["measured"] is None
    assert content["weights"] == {"kind": "random", "file": None, "sha256": None}
    json.dumps(content)


def test_something_something_v2_is_not_the_papers() -> None:
    """It has as many classes."""
    first = DataInfo(name="v1", classes=174, clips={"train": 86_017, "validation": 11_522}, fingerprint="0")
    second = replace(first, name="v2", clips={"train": 168_913, "validation": 24_777})
    for data, told in ((first, False), (second, True)):
        (group,) = group_results([made("I/none", scale="paper", weights=IMAGENET, data=data)])
        assert any("Here: v2, 174 classes" in note for note in results_table("I", group).notes) == told


def test_random_and_imagenet_weights_never_stand_in_one_table(tmp_path: Path) -> None:
    """A file is told from another by its content, and from timm's own weights."""
    renamed = replace(FILE, file="renamed.pth")
    put(tmp_path, made("I/m2a", top1=10.0, weights=RANDOM))
    put(tmp_path, made("I/m2a", top1=20.0, weights=FILE))
    put(tmp_path, made("I/m2a", top1=30.0, weights=renamed, seed=1))
    put(tmp_path, made("I/m2a", top1=40.0, weights=IMAGENET, seed=2))
    groups = group_results(read_results(tmp_path, "I"))
    found = {
        group.title.split(", synthetic")[0]: measured.top1.mean for group in groups if (measured := group.rows[3][1])
    }
    assert found == {
        "scale tiny, from random weights": 10.0,
        "scale tiny, from ImageNet weights (w.pth, sha256 0123456789ab)": 25.0,
        "scale tiny, from ImageNet weights": 40.0,
    }
    assert len(list((tmp_path / "I").iterdir())) == 4


def test_weights_of_a_file_are_known_by_its_hash(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"abc")
    found = start_weights(str(tmp_path / "w.pth"))
    assert (found.kind, found.file, found.sha256) == ("imagenet", "w.pth", "ba7816bf8f01")  # FIPS 180-2's "abc"
    assert (start_weights("none"), start_weights("imagenet")) == (RANDOM, IMAGENET)
    with pytest.raises(NotFoundError, match=r"no checkpoint gone\.pth\. Give --pretrained imagenet, none, or the path"):
        start_weights("gone.pth")


def test_a_title_says_how_many_clips_were_used() -> None:
    (few,) = group_results([made("I/m2a", num_train=6, num_clips=3)])
    assert few.title.endswith("synthetic (6 classes, 12 + 6 clips, 0123abcd), 6 + 3 of them used")


def test_a_table_without_results_is_the_papers() -> None:
    shown = results_table("VI", None)
    assert shown.title == "Table VI, resnet18: no results yet"
    assert shown.rows[0] == ("none", "-", "13.9", "-", "-", "-", "-", "-", "-")
    assert "m2a paper run VI/none" in shown.notes[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not readable as JSON"),
        ("[1]", "not the result of a run"),
        ('{"schema": 2}', "not the result of a run"),
        ({"schema": 99}, "has schema 99; this version reads 2"),
        ({"schema": 1, "weights": "none"}, "has schema 1; this version reads 2"),
        ({"weights": "none"}, "weights is 'none'"),
        ({"weights": {}}, "missing .* required"),
        ({"config": None, "changes": [1]}, r"changes is \[1\], config is None"),
        ({"config": {}}, "its config no size"),
        ({"skipped": None}, "skipped is None"),
        ({"num_train": None}, "num_train is None"),
        ({"top1": math.nan, "top5": 900}, "top1 and top5 must be percentages"),
        ({"probes": {"reversed": {"top1": 3.0}}}, "probes hold no top-1 of shuffled, still"),
        ({"top1": "high", "macs": None}, "top1 is 'high', macs is None, not a number"),
        ({"recipe": "I/m2b"}, "no row 'I/m2b'"),
        ({"recipe": "II/m2a"}, "recipe II/m2a is not m2a of Table I"),
        ({"scale": "huge"}, "no scale 'huge'"),
        ({"colour": "red"}, "unexpected keyword argument 'colour'"),
    ],
)
def test_a_broken_file_is_named(content: str | dict[str, Any], message: str, tmp_path: Path) -> None:
    path = put(tmp_path, made())
    if isinstance(content, dict):
        content = json.dumps(json.loads(path.read_text()) | content)
    path.write_text(content)
    with pytest.raises(DataError, match=rf"{path}.*{message}.*Delete it and run the row again"):
        read_results(tmp_path, "I")


def test_one_run_in_two_files_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, made())
    path.with_name("copy.json").write_text(path.read_text())
    with pytest.raises(DataError, match=r"are both I/m2a with seed 0; delete one"):
        read_results(tmp_path, "I")


def test_a_result_in_another_tables_folder_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, made())
    (tmp_path / "IV").mkdir()
    path.rename(tmp_path / "IV" / path.name)
    with pytest.raises(DataError, match="is a result of Table I"):
        read_results(tmp_path, "IV")


def test_two_sets_of_one_name_are_told_apart() -> None:
    def clips(label: str) -> ClipSet:
        members = tuple(ClipFile(id=str(number), path=Path(str(number)), label=label) for number in range(3))
        return ClipSet(
            format="class-folders", root=Path("x"), labels=("a", "b"), splits={"train": members, "validation": ()}
        )

    one, other = data_info("x", clips("a")), data_info("x", clips("b"))
    assert one == data_info("x", clips("a"))
    assert (one.classes, one.clips) == (2, {"train": 3, "validation": 0})
    assert one.fingerprint != other.fingerprint
