"""`m2a bench`."""

from __future__ import annotations

from pathlib import Path

from cyclopts import App

app = App(name="bench", help="Measure speed, side by side in one run.", help_format="plaintext")


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
    from json import dumps

    from m2a.cli.output import CONSOLE, print_json
    from m2a.data import Preprocessing, read_clips
    from m2a.measurement import hardware, measure_data, versions

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
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(dumps(content, indent=1) + "\n", encoding="utf-8")
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
