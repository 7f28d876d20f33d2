"""Means over seeds, and differences seed by seed: against numbers worked out by hand; what is not taken together."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from run_folders import evaluation_of, write_run

from m2a.errors import ConfigError, DataError, NotFoundError
from m2a.reporting import over_seeds

LABELS = ["a", "b", "c"]


def run(folder: Path, right: int, *, mechanism: str, seed: int, clips: int = 10, **options: Any) -> Path:
    """A run that names so many of its clips rightly."""
    table = np.zeros((3, 3), dtype=int)
    table[0, 0], table[1, 2] = right, clips - right
    config = {"mechanism": mechanism, "out": str(folder), "lr": 0.1, "seed": seed} | options
    write_run(
        folder,
        evaluation_of(table, LABELS, mechanism=mechanism),
        config={k: v for k, v in config.items() if v is not None},
    )
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """70, 50, 60 and 90, 80, 70: differences of 20, 30 and 10 points; none has a fourth seed."""
    none = [run(tmp_path / f"n{seed}", right, mechanism="none", seed=seed) for seed, right in enumerate((7, 5, 6, 1))]
    m2a = [
        run(tmp_path / f"m{seed}", right, mechanism="m2a", seed=seed, workers=seed, device="cpu" if seed else "auto")
        for seed, right in enumerate((9, 8, 7))
    ]
    return [none[0], *reversed(m2a), *none[1:]]


def test_by_hand(runs: list[Path]) -> None:
    none, m2a = over_seeds(runs)
    assert (none.name, list(none.runs), none.difference, none.in_common) == ("none", [0, 1, 2, 3], None, ())
    assert none.top1.mean == pytest.approx(47.5)
    assert (m2a.name, list(m2a.runs), m2a.in_common) == ("m2a", [0, 1, 2], (0, 1, 2))
    assert m2a.top1.mean == pytest.approx(80)
    assert m2a.difference is not None
    assert m2a.difference.mean == pytest.approx(20)
    assert m2a.difference.half_width == pytest.approx(4.30265 * 10 / math.sqrt(3), rel=1e-4)
    assert m2a.verdict("none") == (
        "m2a less none: +20.0 points, ± 24.8 over 3 seeds: zero is in the interval, and these seeds do not tell which "
        "is better."
    )
    plain = json.loads(json.dumps(m2a.to_dict()))
    assert plain["top1_by_seed"] == {"0": 90, "1": 80, "2": 70}
    assert plain["difference"]["n"] == 3


@pytest.mark.parametrize(
    ("rights", "told"),
    [
        ({0: 9, 1: 8, 2: 9}, ": the whole interval is above zero."),
        ({0: 1, 1: 0, 2: 1}, ": the whole interval is below zero."),
        ({0: 9}, "m2a less none: +20.0 points with one seed in common, which says nothing about another."),
        ({0: 9, 1: 7, 2: 8}, ": zero is in the interval, and"),  # the same difference thrice has no width
        ({7: 9}, "m2a and none have no seed in common."),
    ],
)
def test_verdicts(tmp_path: Path, rights: dict[int, int], told: str) -> None:
    folders = [run(tmp_path / f"n{seed}", right, mechanism="none", seed=seed) for seed, right in enumerate((7, 5, 6))]
    folders += [run(tmp_path / f"m{seed}", right, mechanism="m2a", seed=seed) for seed, right in rights.items()]
    none, m2a = over_seeds(folders)
    assert told in m2a.verdict(none.name)


def test_what_differs_is_in_the_name(tmp_path: Path) -> None:
    options: list[dict[str, Any]] = [
        {"lr": 0.2},
        {"lr": 0.2, "mechanism_options": {"boundary": "zero"}},
        {"mechanism": "none"},
    ]
    folders = [run(tmp_path / str(k), 5, **({"mechanism": "m2a", "seed": 0} | one)) for k, one in enumerate(options)]
    folders.append(run(tmp_path / "other", 6, mechanism="m2a", seed=1, lr=0.2))
    names = [one.name for one in over_seeds(folders)]
    assert names == ["m2a (mechanism_options.boundary -)", "m2a (mechanism_options.boundary zero)", "none"]


def test_an_evaluation_elsewhere_knows_its_run(runs: list[Path], tmp_path: Path) -> None:
    """Of the run, or of the model in it."""
    folders = []
    for number, (source, model) in enumerate(((runs[0], runs[0]), (runs[1], runs[1] / "model"))):
        evaluation = json.loads((source / "evaluation.json").read_text(encoding="utf-8"))
        folders.append(write_run(tmp_path / f"test-{number}", evaluation | {"model": str(model), "split": "test"}))
    assert [list(one.runs) for one in over_seeds(folders)] == [[0], [2]]


@pytest.mark.parametrize(
    ("name", "values", "second"), [("views", ("1 x 1", "2 x 3"), 2), ("precision", ("32", "bf16"), -1)]
)
def test_runs_that_were_measured_otherwise_are_not_taken_together(
    runs: list[Path], name: str, values: tuple[str, str], second: int
) -> None:
    """Another precision may be what two kinds of runs differ in: it matters among those of one kind."""
    for folder, value in zip((runs[0], runs[second]), values, strict=True):
        path = folder / "evaluation.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    with pytest.raises(
        DataError, match=rf"measured with {name} = {values[0]}, and .* with {values[1]}\. Evaluate them"
    ):
        over_seeds(runs)


def test_what_cannot_be_taken_together(runs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"take two runs or more, in a list of folders; got 'runs'"):
        over_seeds("runs")
    with pytest.raises(ConfigError, match=r"two runs or more"):
        over_seeds(runs[:1])
    with pytest.raises(NotFoundError, match=r"no such folder"):
        over_seeds([*runs, tmp_path / "gone"])
    again = run(tmp_path / "again", 3, mechanism="m2a", seed=2)
    with pytest.raises(DataError, match=r"m2 and .*again have the same options and the same seed, 2\. Name one"):
        over_seeds([*runs, again])
    fewer = run(tmp_path / "fewer", 3, mechanism="m2a", seed=9, clips=7)
    with pytest.raises(DataError, match=r"n0 and .*fewer were measured on other clips \(10 and 7\)\. Evaluate them on"):
        over_seeds([*runs, fewer])
    (again / "config.yaml").write_text(yaml.safe_dump({"mechanism": "m2a"}), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"again does not say which seed it was trained with: there is no"):
        over_seeds([*runs, again])
