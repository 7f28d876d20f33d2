"""`m2a macs`."""

from __future__ import annotations

from typing import Any


def macs(
    backbone: str = "resnet18",
    *mechanisms: str,
    num_classes: int = 174,
    num_frames: int = 8,
    size: int = 224,
    reduction: int = 8,
    json: bool = False,
) -> None:
    """Count multiply-adds (convolutions and matrix products of one clip) and parameters.

    Parameters
    ----------
    backbone:
        A timm model.
    mechanisms:
        Mechanisms to compare, such as none m2a m2a+tsm; by default all there are.
    num_classes:
        Classes of the last layer.
    num_frames:
        Frames of a clip.
    size:
        Height and width in pixels.
    reduction:
        The gate works on 1/reduction of the channels.
    json:
        Print JSON.
    """
    from rich.table import Table

    from m2a.cli.output import CONSOLE, print_json
    from m2a.measurement import count_macs, count_parameters
    from m2a.mechanisms import list_mechanisms
    from m2a.models import create_model

    rows: list[dict[str, Any]] = []
    for mechanism in mechanisms or list_mechanisms():
        model = create_model(
            backbone,
            mechanism=mechanism,
            num_classes=num_classes,
            num_frames=num_frames,
            size=size,
            reduction=reduction,
        )
        rows.append(
            {
                "mechanism": mechanism,
                "macs": count_macs(model, num_frames=num_frames, size=size),
                "parameters": count_parameters(model),
                "sites": len(model.insertion.sites) if model.insertion else 0,
            }
        )
    if json:
        print_json({"backbone": backbone, "num_frames": num_frames, "size": size, "rows": rows})
        return
    table = Table(
        "mechanism",
        "GMACs",
        "",
        "parameters, M",
        "sites",
        title=f"{backbone}, {num_frames} x {size} x {size}, {num_classes} classes",
        title_justify="left",
    )
    first = rows[0]["macs"]
    for row in rows:
        change = "" if row is rows[0] else f"{row['macs'] / first - 1:+.1%}"
        table.add_row(
            row["mechanism"], f"{row['macs'] / 1e9:.4f}", change, f"{row['parameters'] / 1e6:.4f}", str(row["sites"])
        )
    CONSOLE.print(table)
