"""`m2a bench model`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Outcome

from m2a.cli.bench_model import command_line

Command = Callable[..., Outcome]
SMALL = ("--size", 32, "--num-frames", 2, "--repeats", 2)


def test_the_result_and_what_made_it(m2a: Command, tmp_path: Path) -> None:
    file = tmp_path / "new" / "speed.json"
    outcome = m2a(
        "bench", "model", "test_resnet", "--mechanism", "none", "m2a", *SMALL, "--against", "reference", "--threads", 1,
        "--out", file,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    shown = " ".join(outcome.out.split())
    assert "training step, test_resnet, 1 x 2 x 32 x 32, cpu, float32, eager, channels last" in shown
    assert "must move" in shown
    content = json.loads(file.read_text())
    assert content["kind"] == "model"
    assert [row["mechanism"] for row in content["rows"]] == ["none", "m2a", "m2a (literal)"] * 2
    assert content["command"] == (
        "m2a bench model test_resnet --mechanism none m2a --num-frames 2 --size 32 --threads 1 --repeats 2 "
        "--against reference --out speed.json"
    )
    assert content["threads"] == 1
    assert {"hardware", "versions", "commit", "load_before", "memory_is"} <= set(content)
    inference = next(row for row in content["rows"] if row["mechanism"] == "m2a")
    assert content["roofline"]["overhead_ms"] == inference["overhead_ms"]


def test_without_m2a_there_is_no_overhead_of_it(m2a: Command) -> None:
    content = json.loads(m2a("bench", "model", "test_resnet", "--mechanism", "tsm", *SMALL, "--json").out)
    assert [row["task"] for row in content["rows"]] == ["inference", "training"]
    assert content["roofline"]["overhead_ms"] is None


def test_growth_is_measured_and_drawn(m2a: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("m2a.measurement.growth.AXES", {"num_frames": (2, 4)})
    picture = tmp_path / "new" / "growth.png"
    outcome = m2a("bench", "model", "test_resnet", *SMALL, "--growth", "--picture", picture, "--json")
    assert outcome.code == 0, outcome.err
    content = json.loads(outcome.out)
    assert (content["kind"], content["mechanism"], content["warmup"]) == ("growth", "m2a", 2)
    assert [(point["axis"], point["value"]) for point in content["points"]] == [("num_frames", 2), ("num_frames", 4)]
    assert picture.read_bytes().startswith(b"\x89PNG")
    again = m2a("bench", "model", "test_resnet", "--mechanism", "tsm", *SMALL, "--growth", "--picture", picture)
    assert again.code == 0, again.err  # its own is replaced
    assert "frames" in again.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--repeats", 0), "repeats=0: these must be at least 1"),
        (("--size", 0), "size=0: these must be at least 1"),
        (("--threads", 0), "--threads must be at least 1; got 0"),
        (("--num-frames", 1), "num_frames must be at least 2"),
        (("--device", "tpu"), "device='tpu' cannot be used: torch knows none of that name"),
        (("--mechanism", "m2b"), "m2b"),
        (("--picture", "a.png"), "--picture draws what --growth measures"),
        (("--growth", "--against", "reference"), "--growth compares one --mechanism with the bare backbone"),
        (("--growth", "--mechanism", "m2a", "tsm"), "--growth compares one --mechanism"),
        (("--out", "."), ". is a folder; nothing is overwritten. Name another file with --out"),
        (("--growth", "--picture", "a.svg"), "A picture is a .png; got --picture a.svg"),
    ],
)
def test_what_cannot_be_measured(m2a: Command, arguments: tuple[object, ...], message: str) -> None:
    outcome = m2a("bench", "model", "test_resnet", *arguments)
    assert outcome.code == 1
    assert message in outcome.message


def test_a_backbone_that_is_not_there(m2a: Command) -> None:
    assert "timm has no model called 'resnet81'" in m2a("bench", "model", "resnet81", *SMALL).message


def test_the_command_is_told_without_absolute_paths() -> None:
    told = command_line("resnet18", mechanism=(), compile=True, growth=False, out=Path("/somewhere/a b.json"), size=64)
    assert told == "m2a bench model resnet18 --compile --out 'a b.json' --size 64"
    assert command_line("resnet18", out=Path("paper/a.json")) == "m2a bench model resnet18 --out paper/a.json"


@pytest.mark.parametrize(
    "command",
    [
        ("bench", "model", "test_resnet", "--out"),
        ("bench", "model", "test_resnet", "--growth", "--picture"),
        ("bench", "data", "nowhere", "--out"),
        ("bench", "end-to-end", "nowhere", "--out"),
        ("list", "backbones", "test_resnet", "--check", "--out"),
    ],
    ids=" ".join,
)
def test_a_file_of_the_users_is_left_as_it_is(m2a: Command, tmp_path: Path, command: tuple[str, ...]) -> None:
    """And that is said before anything is measured."""
    file = tmp_path / "mine.png"
    for content in ('{"name": "mine"}', "[1, 2]", "no JSON"):
        file.write_text(content)
        outcome = m2a(*command, file)
        assert outcome.code == 1
        assert (
            f"mine.png is there already and was not written by m2a; nothing is overwritten. Name another file with "
            f"{command[-1]}" in outcome.message
        )
        assert file.read_text() == content
