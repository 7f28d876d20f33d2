"""`m2a convert`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Literal


def convert(
    file: Path,
    /,
    *,
    source: Literal["m2a", "tsm", "tam", "tea", "tdn", "mmaction2"],
    labels: Path,
    out: Path,
    class_order: Path | None = None,
    label_order: Literal["auto", "file", "sorted"] = "auto",
    mechanism: str | None = None,
    num_frames: int | None = None,
    backbone: str | None = None,
    mechanism_options: dict[str, str | int | float] | None = None,
    allow_unplaced: bool = False,
    json: bool = False,
) -> None:
    """Make a model of another project's checkpoint.

    Writes a folder that m2a predict, m2a evaluate and m2a.load take, and says what was placed, what was assumed and
    what has no place here.

    Parameters
    ----------
    file:
        What its training wrote (.pth.tar, .pth). Read as tensors alone; nothing else that it holds is made or run.
    source:
        Whose: the released M2A code, TSM, TAM, TEA, TDN, or mmaction2's TSN, TSM and TANet.
    labels:
        The names of its classes: category.txt, or Something-Something's labels (.csv of V1, .json of V2).
    out:
        A new folder for the model.
    class_order:
        A file of the same names in the order that the model's outputs shall have; by default they stay as they are.
    label_order:
        How --labels counts the classes: as the file does, sorted by name, or auto: .csv sorted, others as in the file.
    mechanism:
        The mechanism, where the weights do not tell m2a, m2a-motion, m2a-attention, m2a:patch4 and m2a:patch8 apart.
    num_frames:
        Frames of a clip, where the weights do not tell; 8 by default.
    backbone:
        timm's name of the network, where its blocks do not tell.
    mechanism_options:
        Of the mechanism, where the training had others than its project's code: --mechanism-options.shift_div 4.
    allow_unplaced:
        Go on when parts of the network have no counterpart here, without them.
    json:
        Print the report as JSON.
    """
    from m2a.cli.output import CONSOLE, print_json
    from m2a.errors import ConfigError
    from m2a.interop import import_checkpoint, read_labels, reorder_classes
    from m2a.training.config import parse_options

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is there and not empty; nothing is ever overwritten. Name a new folder with --out.")
    names = read_labels(labels, order=label_order)
    imported = import_checkpoint(
        file,
        source=source,
        labels=names,
        mechanism=mechanism,
        num_frames=num_frames,
        backbone=backbone,
        mechanism_options=parse_options(mechanism_options or {}, "mechanism_options"),
        allow_unplaced=allow_unplaced,
    )
    if class_order is not None:
        wanted = read_labels(class_order, order="file")
        reorder_classes(imported.model, names.names, wanted.names)
    imported.model.save_pretrained(out)
    if json:
        about = {"order": names.order, "first": names.names[:3], "classes": imported.model.labels}
        print_json({"out": str(out)} | imported.report.to_dict() | {"labels": about})
        return
    lines = [str(imported.report), f"  labels: {names}"]
    if class_order is not None:
        lines.append(f"  outputs reordered: {wanted}")
    lines.append(f"written: {out}; next: m2a predict VIDEO --model {shlex.quote(str(out))}")
    CONSOLE.print("\n".join(lines), highlight=False, soft_wrap=True)
