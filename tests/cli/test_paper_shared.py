"""`m2a paper run` of rows that are the same model: trained once, for the settings that are asked for. A stand-in notes
what would have been trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command import Outcome

from m2a.training.config import TrainConfig
from m2a.workflows import paper

Command = Callable[..., Outcome]
Run = Callable[..., Outcome]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Mechanism and seed of every training; top-1 is how many there were."""
    done: list[tuple[str, int]] = []

    def train(config: TrainConfig, **_: Any) -> SimpleNamespace:
        done.append((config.mechanism, config.seed))
        return SimpleNamespace(number=len(done))

    def measured(run: SimpleNamespace, _: Path) -> dict[str, Any]:
        probes = {name: {"top1": 1.0, "top5": 1.0} for name in ("shuffled", "reversed", "still")}
        counts = dict.fromkeys(("num_train", "num_clips", "macs", "parameters", "best_epoch"), 1)
        return {"top1": float(run.number), "top5": 1.0, "per_class": {}, "probes": probes, "skipped": [], **counts}

    monkeypatch.setattr(paper, "train", train)
    monkeypatch.setattr(paper, "_measured", measured)
    return done


@pytest.fixture
def run(m2a: Command, video_set: Path, tmp_path: Path) -> Run:
    def run(*arguments: object) -> Outcome:
        places = ("--out", tmp_path / "runs", "--results", tmp_path / "results")
        return m2a("paper", "run", *arguments, "--data", video_set, "--scale", "tiny", *places, "--json")

    return run


def shown(outcome: Outcome) -> list[tuple[str, int, str, int]]:
    """Row, seed, the table whose folder the result is in, and top-1."""
    printed = json.loads(outcome.out)["results"]
    return [(one["recipe"], one["seed"], Path(one["file"]).parent.name, one["top1"]) for one in printed]


def test_the_same_model_is_trained_once_in_one_command(run: Run, trained: list[tuple[str, int]]) -> None:
    outcome = run("VI/m2a:m2a", "IV/m2a", "IV/m2a:tam", "VI/m2a:tam", "--seeds", 0, 1)
    assert outcome.code == 0, outcome.err
    assert trained == [("m2a:m2a", 0), ("m2a:tam", 0), ("m2a:m2a", 1), ("m2a:tam", 1)]
    assert shown(outcome) == [
        ("VI/m2a:m2a", 0, "VI", 1), ("IV/m2a", 0, "VI", 1), ("IV/m2a:tam", 0, "IV", 2), ("VI/m2a:tam", 0, "IV", 2),
        ("VI/m2a:m2a", 1, "VI", 3), ("IV/m2a", 1, "VI", 3), ("IV/m2a:tam", 1, "IV", 4), ("VI/m2a:tam", 1, "IV", 4),
    ]  # fmt: skip


def test_a_result_of_ones_own_is_refused_as_ever_and_the_same_model_elsewhere_is_done(
    run: Run, trained: list[tuple[str, int]]
) -> None:
    assert run("I/m2a").code == 0
    outcome = run("I/m2a", "V/m2a", "V/tsm")
    assert outcome.code == 1
    assert "1 of 3 runs failed" in outcome.message
    assert "I/m2a, seed 0: There is a result already" in outcome.message
    assert trained == [("m2a", 0), ("tsm", 0)]
    assert shown(outcome) == [("V/m2a", 0, "I", 1), ("V/tsm", 0, "V", 2)]


def test_overwrite_trains_it_anyway_but_once(run: Run, trained: list[tuple[str, int]], tmp_path: Path) -> None:
    """A result of its own that is to be replaced is replaced."""
    assert run("I/none").code == 0
    assert shown(run("VI/none", "--overwrite")) == [("VI/none", 0, "VI", 2)]
    assert shown(run("I/none", "VI/none", "--overwrite")) == [("I/none", 0, "I", 3), ("VI/none", 0, "VI", 4)]
    (tmp_path / "results" / "VI" / "none-tiny-videos-scratch-seed0.json").unlink()
    assert shown(run("I/none", "VI/none", "--overwrite")) == [("I/none", 0, "I", 5), ("VI/none", 0, "I", 5)]
    assert len(trained) == 5


def change_settings(result: dict[str, Any]) -> None:
    result["config"]["batch_size"] = 99


def change_clips(result: dict[str, Any]) -> None:
    result["data"]["fingerprint"] = "ffffffff"


def change_weights(result: dict[str, Any]) -> None:
    result["weights"] = {"kind": "imagenet", "file": "w.pth", "sha256": "0123456789ab"}


def change_changes(result: dict[str, Any]) -> None:
    result["changes"] = {"epochs": 7}


def change_seed(result: dict[str, Any]) -> None:
    result["seed"] = 8


def change_folder(result: dict[str, Any]) -> None:
    """What changes no result."""
    result["config"] |= {"out": "elsewhere", "workers": 3, "device": "cuda", "data": "moved"}


@pytest.mark.parametrize(
    ("change", "again"),
    [
        (change_settings, True), (change_clips, True), (change_weights, True), (change_changes, True),
        (change_seed, True), (change_folder, False),
    ],
)  # fmt: skip
def test_a_file_of_the_right_name_and_other_settings_is_not_taken(
    change: Callable[[dict[str, Any]], None], again: bool, run: Run, trained: list[tuple[str, int]]
) -> None:
    (entry,) = json.loads(run("V/tea").out)["results"]
    path = Path(entry.pop("file"))
    change(entry)
    path.write_text(json.dumps(entry))
    assert run("VI/tea:none").code == 0
    assert trained == [("tea", 0), ("tea:none", 0)][: 1 + again]


def test_options_of_the_run_are_settings(run: Run, trained: list[tuple[str, int]]) -> None:
    for options in ((), ("--epochs", 2), ("--pretrained", "imagenet"), ("--seed", 1)):
        assert run("V/tam", *options).code == 0
        assert run("VI/none:tam", *options).code == 0
    assert trained == [("tam", 0), ("tam", 0), ("tam", 0), ("tam", 1)]


def test_a_broken_file_of_the_same_model_is_named(run: Run, trained: list[tuple[str, int]], tmp_path: Path) -> None:
    (tmp_path / "results" / "V").mkdir(parents=True)
    path = tmp_path / "results" / "V" / "tdn-tiny-videos-scratch-seed0.json"
    path.write_text("{")
    outcome = run("VI/tdn:none")
    assert outcome.code == 1
    assert f"{path} is not readable as JSON" in outcome.message
    assert trained == []
