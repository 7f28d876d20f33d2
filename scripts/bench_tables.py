"""Puts paper/results/bench/*.json, which `m2a bench` writes, into docs/how-fast.md: the goals and how far each
is, the tables, the bounds, the growth. Whether a goal is met is worked out here from the results.

python scripts/bench_tables.py [--check]
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "paper" / "results" / "bench"
PAGE = ROOT / "docs" / "how-fast.md"
PICTURES = ROOT / "docs" / "images"
BACKBONES = ("resnet18", "mobilenetv2_100")
OWN_PARTS = ("m2a-motion", "m2a-attention")
NOTHING = "No result is committed yet.\n"
MIB = 2**20

Result = dict[str, Any]


def read() -> dict[str, Result]:
    """The committed results by the names of their files."""
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))}


def render(page: str, results: Mapping[str, Result]) -> str:
    """The page with what is between its marks made anew."""
    for name, make in {"goals": goals, "whole": whole, "results": tables, "bounds": bounds, "growth": growth}.items():
        block = re.compile(rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)", re.DOTALL)
        if len(block.findall(page)) != 1:
            sys.exit(f"{PAGE.name} must have the marks <!-- {name}:begin --> and <!-- {name}:end --> once.")
        text = make(results)
        page = block.sub(lambda match, text=text: match[1] + text + match[2], page)
    return page


def goals(results: Mapping[str, Result]) -> str:
    """The table of goals."""
    lines = ["| goal | backbone | measured | met? |", "|---|---|---|---|"]
    lines += [row for backbone in BACKBONES for row in _goals_of(backbone, results)]
    lines += [_whole_row(result) for _, result in _of_kind(results, "end to end")]
    return "\n".join([*lines, ""])


def tables(results: Mapping[str, Result]) -> str:
    """Each result: a table for inference and one for a training step, and what made it."""
    parts = []
    for name, result in _of_kind(results, "model"):
        parts += [f"### {_title(result)}", "", *_table(result, "inference"), "", *_table(result, "training"), ""]
        parts += [_source(name, result), "", "```bash", result["command"], "```", ""]
    return "\n".join(parts) if parts else NOTHING


def whole(results: Mapping[str, Result]) -> str:
    """Whole work, from files to answers or an epoch: a table each, whether its goal is met, and what made it."""
    parts = []
    for name, result in _of_kind(results, "end to end"):
        shape = f"{result['num_frames']} x {result['size']} x {result['size']}"
        work = "Naming the action in" if result["job"] == "predict" else "An epoch of training on"
        files = "mp4 videos" if result["format"] == "class-folders" else "folders of JPEG frames"
        parts += [
            f"### {work} {result['clips']} {files}, {result['backbone']} with m2a, {shape}",
            "",
            "| way | clips a second | times the paper's code's way | wall time in the model | "
            "waiting for clips, and all else | reading alone would take |",
            "|---|---|---|---|---|---|",
        ]
        for way in result["ways"]:
            low, high = way["ratio_range"]
            of_it = "1" if way["way"] == "released" else f"{way['ratio']:.2f} ({low:.2f} to {high:.2f})"
            label = "the paper's code's" if way["way"] == "released" else way["way"]
            inside = way["model_share"]
            parts.append(
                f"| {label} | {way['clips_per_second']:.2f} | {of_it} | {inside:.0%} | {1 - inside:.0%} | "
                f"{way['reading_alone_share']:.0%} |"
            )
        parts += ["", _whole_source(name, result), "", "```bash", result["command"], "```", ""]
    return "\n".join(parts) if parts else NOTHING


def _whole_row(result: Result) -> str:
    goal, best, reason = _whole_verdict(result)
    work = "prediction" if result["job"] == "predict" else "training"
    low, high = best["ratio_range"]
    return (
        f"| {work}, files to answers: at least {goal} x the paper's code's way on a CPU | {result['backbone']}, "
        f"{result['size']} pixels | {best['ratio']:.2f} ({low:.2f} to {high:.2f}) ({best['way']}) | {reason} |"
    )


def _whole_verdict(result: Result) -> tuple[int, Result, str]:
    """The goal, the quickest way, and whether it is met or why not."""
    goal = 4 if result["job"] == "predict" else 2
    best = max(result["ways"], key=lambda way: way["ratio"])
    if best["ratio"] >= goal:
        return goal, best, "met"
    reason = (
        f"**missed by {goal - best['ratio']:.2f}**: {best['model_share']:.0%} of the time is in the model; if nothing "
        f"else took any, it would be {best['ratio'] / best['model_share']:.2f}"
    )
    return goal, best, reason


def _whole_source(name: str, result: Result) -> str:
    load = "" if result["load_before"] is None else f", load {result['load_before']:.1f} before"
    commit = result.get("commit") or "not recorded"
    how = f"{result['workers']} decoding process, batches of {result['batch_size']}"
    if result["job"] == "predict":
        how = f"the paper's code's way with {how}, m2a with {result['threads']} videos at the same time"
    return (
        f"{result['hardware']}, {result['threads']} threads{load}; {how}; torch {result['versions']['torch']}, commit "
        f"{commit}, {result['repeats']} rounds in turns. From [{name}](../paper/results/bench/{name}):"
    )


def bounds(results: Mapping[str, Result]) -> str:
    """What must move at each site, the least time for it, and the time it took."""
    parts = []
    for name, result in _of_kind(results, "model"):
        found = result["roofline"]
        parts += [
            f"### Sites of {_title(result)}",
            "",
            "| site | C x H x W | must move, MiB | multiply-adds, M | at least, ms | mechanism by itself, ms |",
            "|---|---|---|---|---|---|",
        ]
        for site in found["sites"]:
            shape = f"{site['channels']} x {site['height']} x {site['width']}"
            moved, work = site["moved_bytes"] / MIB, site["macs"] / 1e6
            times = f"{site['bound_ms']:.3f} | {site['mechanism_ms']:.3f}"
            parts.append(f"| `{site['site']}` | {shape} | {moved:.2f} | {work:.1f} | {times} |")
        moved, work = (sum(site[key] for site in found["sites"]) for key in ("moved_bytes", "macs"))
        times = f"{found['bound_ms']:.2f} | {found['mechanism_ms']:.2f}"
        parts += [f"| all | | {moved / MIB:.1f} | {work / 1e6:.0f} | {times} |", "", _bound_sentence(name, found), ""]
    return "\n".join(parts) if parts else NOTHING


def growth(results: Mapping[str, Result]) -> str:
    """A picture and a table for each measurement of growth."""
    parts = []
    for name, result in _of_kind(results, "growth"):
        picture = _picture(name).relative_to(PAGE.parent)
        parts += [
            f"### {_title(result)}, unless it is what grows",
            "",
            f"![Time of a training step and memory kept for its backward pass]({picture})",
            "",
            f"| | | training step, ms | bare | ratio | kept for backward, MiB | bare | ratio | inference, {_ratio()} |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for point in result["points"]:
            step = point["training"]
            kept, bare = step["saved_bytes"] / MIB, step["bare_saved_bytes"] / MIB
            parts.append(
                f"| {point['axis'].replace('_', ' ')} | {point['value']} | {step['p50_ms']:.0f} | "
                f"{step['bare_p50_ms']:.0f} | {step['ratio']:.3f} | {kept:.1f} | {bare:.1f} | {kept / bare:.3f} | "
                f"{_with_quartiles(point['inference'])} |"
            )
        parts += ["", _source(name, result), "", "```bash", result["command"], "```", ""]
    return "\n".join(parts) if parts else NOTHING


def draw(results: Mapping[str, Result]) -> None:
    """The pictures of growth."""
    from m2a.cli.bench_model import growth_lines
    from m2a.reporting import write_growth

    for name, result in _of_kind(results, "growth"):
        write_growth(_picture(name), growth_lines(result), mechanism=result["mechanism"], title=_title(result))


def _goals_of(backbone: str, results: Mapping[str, Result]) -> Iterator[str]:
    cpu, gpu = _found(results, backbone, gpu=False), _found(results, backbone, gpu=True)
    for task, cpu_limit, gpu_limit in (("inference", 1.05, 1.05), ("training", 1.15, 1.10)):
        label = "inference" if task == "inference" else "training step"
        yield from _rows(f"m2a, {label} on a CPU: at most {cpu_limit:.2f} x bare", backbone, cpu, task, cpu_limit)
        yield from _rows(
            f"m2a, {label} on a GPU (bf16, compiled): at most {gpu_limit:.2f} x bare", backbone, gpu, task, gpu_limit
        )
    yield from _each("m2a, peak memory of a training step: at most 1.10 x bare", backbone, cpu | gpu, _memory_goal)
    for task in ("inference", "training"):
        label = "inference" if task == "inference" else "training step"
        yield from _each(
            f"m2a, {label}: at least as fast as every other mechanism but tsm",
            backbone,
            cpu | gpu,
            lambda result, task=task: _fastest_goal(result, task),
        )
        yield from _rows(f"tsm, {label}: at most 1.02 x bare", backbone, cpu | gpu, task, 1.02, mechanism="tsm")


def _rows(
    goal: str, backbone: str, results: Mapping[str, Result], task: str, limit: float, mechanism: str = "m2a"
) -> Iterator[str]:
    return _each(goal, backbone, results, lambda result: _time_goal(result, task, limit, mechanism))


def _each(goal: str, backbone: str, results: Mapping[str, Result], judge: Any) -> Iterator[str]:
    """A row for each result that can tell; one without, where there is none."""
    judged = [(result, found) for result in results.values() if (found := judge(result)) is not None]
    for result, (measured, verdict) in judged:
        where = f"{result['device'].replace('cuda', 'GPU').replace('cpu', 'CPU')}, batch {result['batch_size']}"
        yield f"| {goal} | {backbone} | {measured} ({where}) | {verdict} |"
    if not judged:
        yield f"| {goal} | {backbone} | | not measured{': it takes a GPU to itself' if 'GPU' in goal else ''} |"


def _time_goal(result: Result, task: str, limit: float, mechanism: str) -> tuple[str, str] | None:
    row = _row(result, mechanism, task)
    if row is None:
        return None
    measured = _with_quartiles(row)
    if row["ratio"] <= limit:
        return measured, "met" if row["ratio_quartiles"][1] <= limit else "met by the median, not by the upper quartile"
    reasons = [f"**missed by {row['ratio'] - limit:.3f}**: {row['overhead_ms']:.1f} ms more than bare"]
    if mechanism == "m2a":
        if task == "inference":
            bound = result["roofline"]["bound_ms"]
            allowed = 1 + bound / row["bare_p50_ms"]
            reasons.append(f"memory and arithmetic alone take {bound:.1f} ms, which would be {allowed:.3f}")
        elif forward := _row(result, mechanism, "inference"):
            reasons.append(f"inference takes {forward['overhead_ms']:.1f} ms more")
    return measured, "; ".join([*reasons, *_chance(result, task, row["ratio"] - limit)])


def _memory_goal(result: Result) -> tuple[str, str] | None:
    row = _row(result, "m2a", "training")
    if row is None:
        return None
    measured = f"{row['memory_ratio']:.3f}"
    if row["memory_ratio"] <= 1.10:
        return measured, "met"
    more = (row["saved_bytes"] - row["bare_saved_bytes"]) / MIB
    return measured, (
        f"**missed by {row['memory_ratio'] - 1.10:.3f}**: {more:.0f} MiB more are kept between forward and backward "
        f"pass, where bare keeps {row['bare_saved_bytes'] / MIB:.0f} MiB and has a peak of "
        f"{row['bare_peak_bytes'] / MIB:.0f} MiB"
    )


def _fastest_goal(result: Result, task: str) -> tuple[str, str] | None:
    row = _row(result, "m2a", task)
    aside = {"none", "tsm", "m2a", "m2a (literal)", *OWN_PARTS}
    others = [r for r in result["rows"] if r["task"] == task and r["mechanism"] not in aside]
    if row is None or not others:
        return None
    nearest = min(others, key=lambda other: other["ratio"])
    measured = f"{row['ratio']:.3f}; fastest other: {nearest['mechanism']}, {nearest['ratio']:.3f}"
    faster = [other for other in others if other["ratio"] < row["ratio"]]
    if not faster:
        return measured, "; ".join(["met", *_chance(result, task, nearest["ratio"] - row["ratio"], "by")])
    names = ", ".join(other["mechanism"] for other in sorted(faster, key=lambda other: other["ratio"]))
    distance = row["ratio"] - nearest["ratio"]
    return measured, "; ".join(
        [f"**missed by {distance:.3f}**: {names} measured faster", *_chance(result, task, distance)]
    )


def _chance(result: Result, task: str, distance: float, missed: str = "a miss of") -> list[str]:
    """Whether two copies of the bare network differ as much."""
    row = _row(result, "none", task)
    if row is None:
        return []
    low, high = row["ratio_quartiles"]
    apart = f"two copies of the bare network measured {_with_quartiles(row)}"
    return [f"{missed} no more than chance: {apart}"] if distance <= max(1 - low, high - 1) else []


def _found(results: Mapping[str, Result], backbone: str, *, gpu: bool) -> dict[str, Result]:
    """Results that the goals are about: 8 frames of 224 x 224, channels last; on a GPU bf16 and compiled, on a CPU
    neither."""
    wanted = {"backbone": backbone, "num_frames": 8, "size": 224, "channels_last": True, "compile": gpu}
    wanted["precision"] = "bf16" if gpu else "32"
    return {
        name: result
        for name, result in _of_kind(results, "model")
        if result["device"].startswith("cuda") == gpu and all(result[key] == value for key, value in wanted.items())
    }


def _of_kind(results: Mapping[str, Result], kind: str) -> list[tuple[str, Result]]:
    return [(name, result) for name, result in results.items() if result["kind"] == kind]


def _row(result: Result, mechanism: str, task: str) -> Result | None:
    return next((r for r in result["rows"] if (r["mechanism"], r["task"]) == (mechanism, task)), None)


def _table(result: Result, task: str) -> list[str]:
    training = task == "training"
    names = ["p50, ms", "p95, ms", "clips a second", "bare, p50, ms", _ratio(), "peak memory, MiB", "ratio"]
    names += ["kept for backward, MiB", "bare"] if training else []
    lines = [f"| {'training step' if training else 'inference'} | " + " | ".join(names) + " |"]
    lines.append("|---" * (len(names) + 1) + "|")
    for row in result["rows"]:
        if row["task"] == task:
            cells = [f"{row['p50_ms']:.1f}", f"{row['p95_ms']:.1f}", f"{row['clips_per_second']:.1f}"]
            cells += [f"{row['bare_p50_ms']:.1f}", _with_quartiles(row), f"{row['peak_bytes'] / MIB:,.0f}"]
            cells += [f"{row['memory_ratio']:.3f}"]
            if training:
                cells += [f"{row['saved_bytes'] / MIB:.1f}", f"{row['bare_saved_bytes'] / MIB:.1f}"]
            lines.append(f"| {row['mechanism']} | " + " | ".join(cells) + " |")
    return lines


def _ratio() -> str:
    return "ratio (quartiles)"


def _with_quartiles(row: Result) -> str:
    low, high = row["ratio_quartiles"]
    return f"{row['ratio']:.3f} ({low:.3f} to {high:.3f})"


def _title(result: Result) -> str:
    from m2a.cli.bench_model import title

    return title(result)


def _source(name: str, result: Result) -> str:
    load = "" if result["load_before"] is None else f", load {result['load_before']:.1f} before"
    versions = ", ".join(f"{key} {result['versions'][key]}" for key in ("torch", "timm"))
    return (
        f"{result['hardware']}, {result['threads']} threads{load}, {versions}, commit {result['commit']}, "
        f"{result['repeats']} pairs. Memory: {result['memory_is']}. From [{name}](../paper/results/bench/{name}):"
    )


def _bound_sentence(name: str, found: Result) -> str:
    text = (
        f"{name}: a large copy reads and writes {found['copy_rate'] / 1e9:.1f} GB a second, a large matrix product "
        f"does {found['mac_rate'] / 1e9:.0f} G multiply-adds a second. At least {found['bound_ms']:.2f} ms; the "
        f"mechanisms by themselves {found['mechanism_ms']:.2f} ms"
    )
    over = found["overhead_ms"]
    return text + ("." if over is None else f"; measured, the network with them takes {over:.2f} ms more than without.")


def _picture(name: str) -> Path:
    return PICTURES / f"{Path(name).stem}.png"


def main() -> None:
    results, before = read(), PAGE.read_text(encoding="utf-8")
    after = render(before, results)
    if "--check" in sys.argv[1:]:
        if before != after:
            sys.exit(f"{PAGE.name} does not show its results; run python scripts/bench_tables.py")
        return
    PAGE.write_text(after, encoding="utf-8")
    draw(results)


if __name__ == "__main__":
    main()
