"""`m2a bench model`: what is printed and written of what was measured."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from m2a.errors import ConfigError

if TYPE_CHECKING:
    from m2a.measurement.growth import GrowthPoint
    from m2a.measurement.model_speed import BenchSettings, SpeedRow
    from m2a.measurement.roofline import Roofline

_MIB = 2**20


def check_options(
    *,
    growth: bool,
    mechanism: tuple[str, ...],
    against: str | None,
    picture: Path | None,
    threads: int | None,
    out: Path | None,
) -> None:
    """Raises ConfigError for what does not go together, before minutes are spent on it."""
    from m2a.reporting.owned import check_our_json, check_picture

    if growth and (against or len(mechanism) > 1):
        raise ConfigError(
            "--growth compares one --mechanism with the bare backbone; leave out --against and the others."
        )
    if picture is not None and not growth:
        raise ConfigError("--picture draws what --growth measures; add --growth, or leave it out.")
    if threads is not None and threads < 1:
        raise ConfigError(f"--threads must be at least 1; got {threads}.")
    if out is not None:
        check_our_json(out)
    if picture is not None:
        check_picture(picture, "--picture")


def show(content: dict[str, Any], *, out: Path | None, picture: Path | None, json: bool) -> None:
    """Writes the files and prints the tables, or the JSON."""
    from m2a.cli.output import CONSOLE, print_json, write_json

    if out is not None:
        write_json(out, content)
    if picture is not None:
        from m2a.reporting import write_growth

        picture.parent.mkdir(parents=True, exist_ok=True)
        write_growth(picture, growth_lines(content), mechanism=content["mechanism"], title=title(content))
    if json:
        print_json(content)
    elif content["kind"] == "growth":
        CONSOLE.print(growth_table(content))
    else:
        CONSOLE.print(*tables(content), sep="\n")
        CONSOLE.print(roofline_line(content), highlight=False)
        CONSOLE.print(f"Memory: {content['memory_is']}.", highlight=False)


def models(mechanisms: tuple[str, ...], settings: BenchSettings) -> dict[str, Any]:
    """Measures each mechanism at both tasks, and the roofline of M2A; shows what is at work."""
    from m2a.cli.output import error_console
    from m2a.measurement import measure_models, measure_roofline

    rows: list[SpeedRow] = []
    with error_console().status("") as status:
        steps = [f"{mechanism}, {task}" for task in ("inference", "training") for mechanism in mechanisms]
        found = measure_models(mechanisms, settings)
        for number, step in enumerate(steps, start=1):
            status.update(f"{step} ({number} of {len(steps)})")
            rows.append(next(found))
        status.update("roofline")
        bound = measure_roofline(settings)
    content: dict[str, Any] = {"kind": "model", **settings.to_dict()}
    return content | {"rows": [row.to_dict() for row in rows], "roofline": _roofline(bound, rows)}


def growth(mechanism: str, settings: BenchSettings) -> dict[str, Any]:
    """Measures along each axis; shows what is at work."""
    from m2a.cli.output import error_console
    from m2a.measurement import measure_growth

    points: list[GrowthPoint] = []
    with error_console().status("") as status:
        for point in measure_growth(mechanism, settings):
            points.append(point)
            status.update(f"{point.axis} = {point.value} is measured")
    content: dict[str, Any] = {"kind": "growth", "mechanism": mechanism, **settings.to_dict()}
    return content | {"points": [point.to_dict() for point in points]}


def circumstances(settings: BenchSettings, threads: int, command: str) -> dict[str, Any]:
    """What a result was measured on, and with. To be called before anything is measured: it tells how busy the machine
    is."""
    from m2a.measurement import commit, counted_by, hardware, versions

    return {
        "command": command,
        "threads": threads,
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "memory_is": counted_by(settings.device),
        "hardware": hardware(),
        "versions": versions(),
        "commit": commit(),
    }


def command_line(backbone: str, **options: Any) -> str:
    """The command that was given, with its options; those that are None, False or empty were not given. An absolute
    path is told by its last part."""
    words = ["m2a", "bench", "model", backbone]
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if value is None or value is False or value == ():
            continue
        values = [] if value is True else value if isinstance(value, tuple) else (value,)
        words += [flag, *(_shown(one) for one in values)]
    return shlex.join(words)


def tables(content: dict[str, Any]) -> Iterable[Table]:
    """What was measured: time of inference, of a training step, memory of both."""
    yield _time_table(content, "inference")
    yield _time_table(content, "training")
    yield _memory_table(content)


def growth_table(content: dict[str, Any]) -> Table:
    """A row a point."""
    table = Table("", "", "step", "bare", "ratio", "kept", "bare", "inference", "ratio", title_justify="left")
    table.title = f"{title(content)}\ntimes in ms; kept for the backward pass in MiB"
    for point in content["points"]:
        training, inference = point["training"], point["inference"]
        table.add_row(
            point["axis"].removeprefix("num_").removesuffix("_size"),
            str(point["value"]),
            f"{training['p50_ms']:.1f}",
            f"{training['bare_p50_ms']:.1f}",
            f"{training['ratio']:.3f}",
            f"{training['saved_bytes'] / _MIB:.1f}",
            f"{training['bare_saved_bytes'] / _MIB:.1f}",
            f"{inference['p50_ms']:.1f}",
            f"{inference['ratio']:.3f}",
        )
    return table


def roofline_line(content: dict[str, Any]) -> str:
    """The bound and what was measured, in a sentence."""
    bound = content["roofline"]
    moved = sum(site["moved_bytes"] for site in bound["sites"]) / _MIB
    text = (
        f"m2a at its {len(bound['sites'])} sites, inference: {moved:.1f} MiB must move; at this machine's rates "
        f"({bound['copy_rate'] / 1e9:.1f} GB/s, {bound['mac_rate'] / 1e9:.0f} G multiply-adds/s) at least "
        f"{bound['bound_ms']:.2f} ms. The mechanisms by themselves take {bound['mechanism_ms']:.2f} ms"
    )
    if bound["overhead_ms"] is not None:
        text += f"; the network with them {bound['overhead_ms']:.2f} ms more than without"
    return text + "."


def growth_lines(content: dict[str, Any]) -> dict[str, dict[str, list[float]]]:
    """The points as `write_growth` draws them."""
    lines: dict[str, dict[str, list[float]]] = {}
    for point in content["points"]:
        training = point["training"]
        saved, bare_saved = training["saved_bytes"], training["bare_saved_bytes"]
        numbers = {
            "value": point["value"],
            "bare_ms": training["bare_p50_ms"],
            "ms": training["p50_ms"],
            "ms_ratio": training["ratio"],
            "bare_mib": bare_saved / _MIB,
            "mib": saved / _MIB,
            "mib_ratio": saved / bare_saved,
        }
        line = lines.setdefault(point["axis"], {name: [] for name in numbers})
        for name, number in numbers.items():
            line[name].append(float(number))
    return lines


def title(content: dict[str, Any]) -> str:
    """The model and how it was run, in a line."""
    size = content["size"]
    parts = [content["backbone"], f"{content['batch_size']} x {content['num_frames']} x {size} x {size}"]
    parts += [content["device"], "bf16" if content["precision"] == "bf16" else "float32"]
    parts += ["compiled" if content["compile"] else "eager"]
    parts += ["channels last" if content["channels_last"] else "channels first"]
    return ", ".join(parts)


def _roofline(bound: Roofline, rows: list[SpeedRow]) -> dict[str, Any]:
    measured = [row.pair.overhead_ms for row in rows if (row.mechanism, row.task) == ("m2a", "inference")]
    return bound.to_dict() | {"overhead_ms": measured[0] if measured else None}


def _time_table(content: dict[str, Any], task: str) -> Table:
    table = Table("mechanism", "ms", "p95", "clips/s", "bare, ms", "ratio", "quartiles", title_justify="left")
    table.title = f"{'training step' if task == 'training' else task}, {title(content)}"
    for row in content["rows"]:
        if row["task"] == task:
            low, high = row["ratio_quartiles"]
            table.add_row(
                row["mechanism"],
                f"{row['p50_ms']:.1f}",
                f"{row['p95_ms']:.1f}",
                f"{row['clips_per_second']:.1f}",
                f"{row['bare_p50_ms']:.1f}",
                f"{row['ratio']:.3f}",
                f"{low:.3f} - {high:.3f}",
            )
    return table


def _memory_table(content: dict[str, Any]) -> Table:
    names = ("mechanism", "inference", "ratio", "training", "ratio", "kept", "bare keeps")
    table = Table(*names, title="peak memory, and what is kept for the backward pass, MiB", title_justify="left")
    inference, training = ([r for r in content["rows"] if r["task"] == task] for task in ("inference", "training"))
    for one, other in zip(inference, training, strict=True):
        table.add_row(
            one["mechanism"],
            f"{one['peak_bytes'] / _MIB:,.1f}",
            f"{one['memory_ratio']:.3f}",
            f"{other['peak_bytes'] / _MIB:,.1f}",
            f"{other['memory_ratio']:.3f}",
            f"{other['saved_bytes'] / _MIB:,.1f}",
            f"{other['bare_saved_bytes'] / _MIB:,.1f}",
        )
    return table


def _shown(value: object) -> str:
    return value.name if isinstance(value, Path) and value.is_absolute() else str(value)
