"""`m2a export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from m2a.export import Exported


def export(
    model: str,
    /,
    *,
    out: Path,
    batch_size: int | None = None,
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
        Clips given to it at once; by default any number.
    image_weights:
        For an adapter: the image checkpoint it was trained beside, when it is not where it was.
    json:
        Print JSON.
    """
    from m2a.cli.output import CONSOLE, print_json
    from m2a.export import check_exportable, export_model
    from m2a.models import load
    from m2a.reporting.owned import check_ours

    check_exportable(out, batch_size=batch_size)
    check_ours(out)
    network = load(model, image_weights=image_weights)
    exported = export_model(network, out, batch_size=batch_size)
    if json:
        print_json(exported.to_dict() | {"model": model})
        return
    CONSOLE.print(_told(exported), highlight=False, soft_wrap=True)


def _told(exported: Exported) -> str:
    batch, *rest = exported.clips
    many = "any number" if batch is None else str(batch)
    colours = " of RGB" if rest[1] == 3 else ""
    return (
        f"written: {exported.file}, {exported.size / 1e6:.1f} MB\n"
        f"  takes clips: uint8 ({', '.join([many, *map(str, rest)])}), 0 to 255{colours}, not normalised\n"
        f"  gives probabilities: float32 ({many}, {exported.num_classes})\n"
        f"  run by {exported.checked_with} on clips of noise: probabilities are off by at most "
        f"{exported.max_difference:.1e}"
    )
