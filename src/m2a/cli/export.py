"""`m2a export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from m2a.export import Exported, ExportedStream


def export(
    model: str,
    /,
    *,
    out: Path,
    batch_size: int | None = None,
    stream: bool = False,
    image_weights: Path | None = None,
    json: bool = False,
) -> None:
    """Write a model to one file that runs without m2a, labels in it, and check that it gives the same.

    The file takes clips as they are decoded and cropped, uint8 (B, T, 3, H, W) of RGB, and gives probabilities. Its
    metadata says how to sample and crop, and the labels.

    Parameters
    ----------
    model:
        A folder that m2a train wrote (RUN, RUN/model, RUN/adapter), or owner/name on the hub.
    out:
        The file: NAME.onnx for ONNX, NAME.pt2 for a program of torch.export, which torch alone runs.
    batch_size:
        Clips given to it at once; by default any number. With --stream streams side by side, by default 1.
    stream:
        Write one step of a stream instead: the next frame, and what the step before gave, to probabilities. For models
        without a mechanism, or with one that looks back alone (--mechanism-options.direction unidirectional).
    image_weights:
        For an adapter: the image checkpoint it was trained beside, when it is not where it was.
    json:
        Print JSON.
    """
    from m2a.cli.output import CONSOLE, print_json
    from m2a.export import check_exportable, export_model, export_stream
    from m2a.models import load
    from m2a.reporting.owned import check_ours

    check_exportable(out, batch_size=batch_size)
    check_ours(out)
    network = load(model, image_weights=image_weights)
    exported: Exported | ExportedStream
    if stream:
        exported = export_stream(network, out, batch_size=1 if batch_size is None else batch_size)
        told = _told_of_stream(exported)
    else:
        exported = export_model(network, out, batch_size=batch_size)
        told = _told(exported)
    if json:
        print_json(exported.to_dict() | {"model": model})
        return
    CONSOLE.print(
        f"written: {exported.file}, {exported.size / 1e6:.1f} MB\n{told}\n"
        f"  run by {exported.checked_with} on {'a stream' if stream else 'clips'} of noise: probabilities are off by "
        f"at most {exported.max_difference:.1e}",
        highlight=False,
        soft_wrap=True,
    )


def _told(exported: Exported) -> str:
    batch, *rest = exported.clips
    many = "any number" if batch is None else str(batch)
    return (
        f"  takes clips: uint8 ({', '.join([many, *map(str, rest)])}), 0 to 255{_colours(rest[1])}, not normalised\n"
        f"  gives probabilities: float32 ({many}, {exported.num_classes})"
    )


def _told_of_stream(exported: ExportedStream) -> str:
    last = len(exported.memory) - 1
    shape = ", ".join(map(str, exported.frames))
    return (
        f"  takes frames: uint8 ({shape}), 0 to 255{_colours(exported.frames[1])}, not normalised\n"
        f"  takes memory_0 ... memory_{last}: float32, zeros for the first frame of a stream, then what the step "
        "before gave\n"
        f"  gives probabilities: float32 ({exported.frames[0]}, {exported.num_classes}), and next_memory_0 ... "
        f"next_memory_{last}"
    )


def _colours(channels: int | None) -> str:
    return " of RGB" if channels == 3 else ""
