"""`m2a bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from cyclopts import App

app = App(name="bench", help="Measure speed, side by side in one run.", help_format="plaintext")
app.command("m2a.cli.bench_end_to_end:end_to_end", name="end-to-end", help="Measure whole work, from files to answers.")


@app.command
def data(
    path: Path,
    /,
    *,
    format: str = "auto",  # noqa: A002 - the word users look for
    clips: int = 500,
    num_frames: int = 8,
    size: int = 224,
    batch_size: int = 16,
    workers: int = 1,
    repeats: int = 5,
    device: str = "cpu",
    out: Path | None = None,
    json: bool = False,
) -> None:
    """Measure how fast training clips come from disk to batches.

    Beside it runs a bare loop that only decodes the same frames of the same clips, with as many processes, in turns.

    Parameters
    ----------
    path:
        A data set.
    format:
        Layout of the data set.
    clips:
        Training clips to read in each repeat, at most.
    num_frames:
        Frames of a clip.
    size:
        Height and width in pixels.
    batch_size:
        Clips in a batch.
    workers:
        Processes that decode.
    repeats:
        Pairs of measurements.
    device:
        Where batches go: cpu, cuda.
    out:
        A JSON file to write the result to.
    json:
        Print JSON.
    """
    from m2a.cli.output import CONSOLE, print_json, write_json
    from m2a.data import Preprocessing, read_clips
    from m2a.measurement import hardware, measure_data, versions
    from m2a.reporting.owned import check_our_json

    if out is not None:
        check_our_json(out)
    found = read_clips(path, format=format)
    speed = measure_data(
        found.split("train")[:clips],
        Preprocessing(num_frames=num_frames, size=size),
        workers=workers,
        batch_size=batch_size,
        repeats=repeats,
        device=device,
    )
    content = {
        "format": found.format,
        "num_frames": num_frames,
        "size": size,
        "device": device,
        **speed.to_dict(),
        "hardware": hardware(),
        "versions": versions(),
    }
    if out is not None:
        write_json(out, content)
    if json:
        print_json(content)
        return
    low, high = speed.ratio_range
    shares = {
        "decode": speed.decode_share,
        "crop and augment": speed.transform_share,
        "stack": speed.collate_share,
        "copy to the device": speed.device_share,
    }
    CONSOLE.print(
        f"{speed.clips:,} clips of {num_frames} frames, {workers} processes: {speed.clips_per_second:,.0f} clips a "
        f"second, {speed.ratio:.2f} of a bare decoding loop ({low:.2f} to {high:.2f})\n"
        f"of one process's time: {', '.join(f'{name} {share:.0%}' for name, share in shares.items())}\n"
        f"memory of the processes: {speed.memory_mib[0]:,.0f} MiB after the first repeat, {speed.memory_mib[-1]:,.0f} "
        "MiB after the last",
        highlight=False,
    )


@app.command
def model(
    backbone: str = "resnet18",
    /,
    *,
    mechanism: tuple[str, ...] = (),
    device: str = "cpu",
    compile: bool = False,  # noqa: A002 - the word users look for
    precision: Literal["32", "bf16"] = "32",
    channels_last: bool = True,
    num_frames: int = 8,
    size: int | None = None,
    batch_size: int = 1,
    threads: int | None = None,
    repeats: int | None = None,
    against: Literal["reference"] | None = None,
    growth: bool = False,
    picture: Path | None = None,
    out: Path | None = None,
    json: bool = False,
) -> None:
    """Measure what mechanisms add to a backbone's time and memory, in inference and in a training step.

    Each mechanism runs in turns with the bare backbone, and is told as a ratio to it: the median over the pairs. "none"
    is the bare backbone against a second copy of itself, that is, what chance does to a ratio.

    Parameters
    ----------
    backbone:
        A timm model, or torchvision/<name>.
    mechanism:
        Mechanisms to measure, such as none m2a m2a+tsm; by default all there are. With --growth the first, by default
        m2a.
    device:
        cpu or cuda.
    compile:
        With torch.compile.
    precision:
        32, or bf16 (autocast).
    channels_last:
        Memory format of clips and weights.
    num_frames:
        Frames of a clip.
    size:
        Height and width in pixels: 224, with --growth 64.
    batch_size:
        Clips that run at once.
    threads:
        Of torch's operations on the CPU; by default as torch chooses.
    repeats:
        Pairs of measurements: 15, with --growth 5.
    against:
        reference: also the equations of M2A written down one after the other.
    growth:
        How time and memory grow with frames, size and clips instead, without and with one mechanism.
    picture:
        A PNG to draw the growth into.
    out:
        A JSON file to write the result to.
    json:
        Print JSON.
    """
    from m2a.cli import bench_model as shown
    from m2a.measurement import LITERAL, BenchSettings
    from m2a.measurement import threads as limited_to
    from m2a.mechanisms import list_mechanisms

    command = shown.command_line(
        backbone, mechanism=mechanism, device=device if device != "cpu" else None, compile=compile,
        precision=precision if precision != "32" else None, no_channels_last=not channels_last,
        num_frames=num_frames if num_frames != 8 else None, size=size,
        batch_size=batch_size if batch_size != 1 else None, threads=threads, repeats=repeats, against=against,
        growth=growth, picture=picture, out=out,
    )  # fmt: skip
    settings = BenchSettings(
        backbone=backbone, device=device, compile=compile, precision=precision, channels_last=channels_last,
        num_frames=num_frames, size=(64 if growth else 224) if size is None else size, batch_size=batch_size,
        repeats=(5 if growth else 15) if repeats is None else repeats, warmup=2 if growth else 3,
    )  # fmt: skip
    shown.check_options(growth=growth, mechanism=mechanism, against=against, picture=picture, threads=threads, out=out)
    with limited_to(threads) as count:
        around = shown.circumstances(settings, count, command)
        if growth:
            content = shown.growth((*mechanism, "m2a")[0], settings) | around
        else:
            names = mechanism or tuple(list_mechanisms())
            content = shown.models((*names, LITERAL) if against else names, settings) | around
    shown.show(content, out=out, picture=picture, json=json)
