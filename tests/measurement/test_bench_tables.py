"""The page of results: which goals are met is worked out from given numbers."""

from __future__ import annotations

import copy
import runpy
from pathlib import Path
from typing import Any

import pytest

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "bench_tables.py"))
MIB = 2**20


def row(mechanism: str, task: str, ratio: float, **changes: Any) -> dict[str, Any]:
    found = {
        "mechanism": mechanism, "task": task, "ratio": ratio, "ratio_quartiles": [ratio - 0.01, ratio + 0.01],
        "p50_ms": 100 * ratio, "p95_ms": 120 * ratio, "bare_p50_ms": 100.0, "overhead_ms": 100 * (ratio - 1),
        "clips_per_second": 10 / ratio, "peak_bytes": 220 * MIB, "bare_peak_bytes": 200 * MIB, "memory_ratio": 1.1,
    }  # fmt: skip
    saved = {"saved_bytes": 90 * MIB, "bare_saved_bytes": 50 * MIB} if task == "training" else {}
    return found | saved | changes


def result(*rows: dict[str, Any], **changes: Any) -> dict[str, Any]:
    site = {
        "site": "layer1.0.conv1", "channels": 64, "height": 56, "width": 56, "moved_bytes": 3 * MIB, "macs": 5_000_000,
        "copy_rate": 1e10, "bound_ms": 2.0, "mechanism_ms": 3.5,
    }  # fmt: skip
    bound = {"copy_rate": 1e10, "mac_rate": 4e10, "sites": [site], "bound_ms": 2.0, "mechanism_ms": 3.5}
    return {
        "kind": "model", "backbone": "resnet18", "device": "cpu", "compile": False, "precision": "32",
        "channels_last": True, "num_frames": 8, "size": 224, "batch_size": 1, "repeats": 15, "rows": list(rows),
        "roofline": bound | {"overhead_ms": 4.5}, "command": "m2a bench model", "threads": 2, "load_before": 0.1,
        "memory_is": "blocks", "hardware": "2 x CPU", "versions": {"torch": "2", "timm": "1"}, "commit": "abc",
    } | changes  # fmt: skip


def verdicts(**results: dict[str, Any]) -> dict[tuple[str, str], tuple[str, str]]:
    """(goal, backbone) to (measured, verdict), as the table has them."""
    lines = SCRIPT["goals"](results).splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {(goal, backbone): (measured, verdict) for goal, backbone, measured, verdict in cells}


INFERENCE = ("m2a, inference on a CPU: at most 1.05 x bare", "resnet18")
TRAINING = ("m2a, training step on a CPU: at most 1.15 x bare", "resnet18")
ON_GPU = ("m2a, inference on a GPU (bf16, compiled): at most 1.05 x bare", "resnet18")
MEMORY = ("m2a, peak memory of a training step: at most 1.10 x bare", "resnet18")
FASTEST = ("m2a, inference: at least as fast as every other mechanism but tsm", "resnet18")
TSM = ("tsm, inference: at most 1.02 x bare", "resnet18")


def test_without_results_nothing_is_said_to_be_met() -> None:
    found = verdicts()
    assert len(found) == 18
    assert set(found.values()) == {("", "not measured"), ("", "not measured: it takes a GPU to itself")}
    for block in ("tables", "whole", "bounds", "growth"):
        assert SCRIPT[block]({}) == "No result is committed yet.\n"


def test_goals_that_are_met() -> None:
    found = verdicts(a=result(row("m2a", "inference", 1.04), row("m2a", "training", 1.15)))
    assert found[INFERENCE] == ("1.040 (1.030 to 1.050) (CPU, batch 1)", "met")
    assert found[TRAINING][1] == "met by the median, not by the upper quartile"
    assert found[MEMORY][1] == "met"
    assert found[FASTEST] == found[TSM] == ("", "not measured")
    assert found[ON_GPU] == ("", "not measured: it takes a GPU to itself")
    assert found[INFERENCE[0], "mobilenetv2_100"] == ("", "not measured")


def test_goals_that_are_missed_say_by_how_much_and_why() -> None:
    rows = [
        row("m2a", "inference", 1.09),
        row("m2a", "training", 1.2, memory_ratio=1.25),
        row("tsm", "inference", 1.03),
    ]
    found = verdicts(a=result(*rows))
    assert found[INFERENCE][1] == (
        "**missed by 0.040**: 9.0 ms more than bare; memory and arithmetic alone take 2.0 ms, which would be 1.020"
    )
    assert found[TRAINING][1] == "**missed by 0.050**: 20.0 ms more than bare; inference takes 9.0 ms more"
    assert found[MEMORY][1].startswith("**missed by 0.150**: 40 MiB more are kept between forward and backward pass")
    assert found[TSM][1] == "**missed by 0.010**: 3.0 ms more than bare"


COPIES = "two copies of the bare network measured 1.000 (0.990 to 1.010)"


def test_what_chance_does_is_told() -> None:
    noise = row("none", "inference", 1.0, ratio_quartiles=[0.98, 1.02])
    found = verdicts(a=result(noise, row("m2a", "inference", 1.06), row("tsm", "inference", 1.05)))
    assert found[INFERENCE][1].endswith(
        "a miss of no more than chance: two copies of the bare network measured 1.000 (0.980 to 1.020)"
    )
    assert "chance" not in found[TSM][1]


@pytest.mark.parametrize(
    ("tea", "verdict"),
    [
        (1.07, "met"),
        (1.06, f"met; by no more than chance: {COPIES}"),
        (1.05, f"met; by no more than chance: {COPIES}"),
        (1.03, "**missed by 0.020**: tea measured faster"),
    ],
)
def test_the_fastest_but_tsm(tea: float, verdict: str) -> None:
    rows = [row("m2a", "inference", 1.05), row("tea", "inference", tea), row("tdn", "inference", 1.2)]
    aside = [row("tsm", "inference", 1.0), row("m2a-motion", "inference", 1.01), row("none", "inference", 1.0)]
    measured, told = verdicts(a=result(*rows, *aside))[FASTEST]
    assert told == verdict
    assert measured == f"1.050; fastest other: tea, {tea:.3f} (CPU, batch 1)"


@pytest.mark.parametrize(
    "change", [{"size": 64}, {"num_frames": 4}, {"channels_last": False}, {"compile": True}, {"precision": "bf16"}]
)
def test_other_settings_are_not_what_the_goals_are_about(change: dict[str, Any]) -> None:
    assert verdicts(a=result(row("m2a", "inference", 1.01), **change))[INFERENCE] == ("", "not measured")


def test_a_gpu_has_its_own_goals() -> None:
    gpu = result(row("m2a", "inference", 1.01), device="cuda", compile=True, precision="bf16", batch_size=32)
    found = verdicts(a=gpu)
    assert found[ON_GPU] == ("1.010 (1.000 to 1.020) (GPU, batch 32)", "met")
    assert found[INFERENCE] == ("", "not measured")


def test_the_page_has_every_result() -> None:
    both = result(row("m2a", "inference", 1.05), row("m2a", "training", 1.1))
    point = {"axis": "num_frames", "value": 4, "training": both["rows"][1], "inference": both["rows"][0]}
    grown = result(kind="growth", mechanism="m2a", points=[point])
    marks = "".join(
        f"<!-- {name}:begin -->\nold\n<!-- {name}:end -->\n"
        for name in ("goals", "whole", "results", "bounds", "growth")
    )
    page = SCRIPT["render"](marks, {"a.json": both, "g.json": grown})
    assert "old" not in page
    assert "| m2a | 105.0 | 126.0 | 9.5 | 100.0 | 1.050 (1.040 to 1.060) | 220 | 1.100 |" in page
    assert "| m2a | 110.0 | 132.0 | 9.1 | 100.0 | 1.100 (1.090 to 1.110) | 220 | 1.100 | 90.0 | 50.0 |" in page
    assert "| `layer1.0.conv1` | 64 x 56 x 56 | 3.00 | 5.0 | 2.000 | 3.500 |" in page
    assert "the network with them takes 4.50 ms more than without." in page
    assert "images/g.png" in page
    assert "| num frames | 4 | 110 | 100 | 1.100 | 90.0 | 50.0 | 1.800 | 1.050 (1.040 to 1.060) |" in page
    assert SCRIPT["render"](page, {"a.json": both, "g.json": copy.deepcopy(grown)}) == page


def test_a_page_without_its_marks_is_refused() -> None:
    with pytest.raises(SystemExit, match=r"must have the marks <!-- goals:begin -->"):
        SCRIPT["render"]("# How fast", {})


def end_to_end(job: str, *ratios: float) -> dict[str, Any]:
    def way(name: str, ratio: float) -> dict[str, Any]:
        return {
            "way": name, "clips_per_second": 3 * ratio, "ratio": ratio, "ratio_range": [ratio - 0.1, ratio + 0.1],
            "model_share": 0.8, "reading_alone_share": 0.3, "seconds": [10 / ratio], "model_seconds": [8 / ratio],
        }  # fmt: skip

    names = ("released", "m2a", "m2a, bf16")
    return {
        "kind": "end to end", "job": job, "clips": 7, "format": "class-folders", "backbone": "resnet18", "size": 32,
        "num_frames": 3, "batch_size": 2, "workers": 1, "threads": 2, "repeats": 1, "load_before": None,
        "hardware": "2 x CPU", "versions": {"torch": "2"}, "commit": "abc", "command": "m2a bench end-to-end clips",
        "ways": [way(name, ratio) for name, ratio in zip(names, ratios, strict=True)],
    }  # fmt: skip


def test_whole_work_is_told_with_its_goal() -> None:
    results = {"a.json": end_to_end("predict", 1, 1.5, 3.0), "b.json": end_to_end("train", 1, 1.5, 2.0)}
    page = SCRIPT["whole"](results)
    assert "| the paper's code's | 3.00 | 1 | 80% | 20% | 30% |" in page
    assert "| m2a, bf16 | 9.00 | 3.00 (2.90 to 3.10) | 80% | 20% | 30% |" in page
    assert "### Naming the action in 7 mp4 videos, resnet18 with m2a, 3 x 32 x 32" in page
    found = verdicts(**results)
    assert found[
        "prediction, files to answers: at least 4 x the paper's code's way on a CPU", "resnet18, 32 pixels"
    ] == (
        "3.00 (2.90 to 3.10) (m2a, bf16)",
        "**missed by 1.00**: 80% of the time is in the model; if nothing else took any, it would be 3.75",
    )
    training = found["training, files to answers: at least 2 x the paper's code's way on a CPU", "resnet18, 32 pixels"]
    assert training == ("2.00 (1.90 to 2.10) (m2a, bf16)", "met")
