"""`m2a macs`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from m2a.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from m2a.models import VideoClassifier


def macs(
    backbone: str = "resnet18",
    *mechanisms: str,
    num_classes: int | None = None,
    num_frames: int | None = None,
    size: int | None = None,
    reduction: int | None = None,
    json: bool = False,
) -> None:
    """Count multiply-adds (convolutions and matrix products of one clip) and parameters.

    Parameters
    ----------
    backbone:
        A timm model, torchvision/<name>, or the folder of a saved model or of a run, which is counted beside the same
        network without a mechanism.
    mechanisms:
        Mechanisms to compare, such as none m2a m2a+tsm; by default all there are. A saved model has its own.
    num_classes:
        Classes of the last layer; by default 174. A saved model has its own.
    num_frames:
        Frames of a clip; by default 8, or the saved model's.
    size:
        Height and width in pixels; by default 224, or the saved model's.
    reduction:
        The gate works on 1/reduction of the channels; by default 8. A saved model has its own.
    json:
        Print JSON.
    """
    from m2a.cli.output import print_json, print_table
    from m2a.measurement import count_macs, count_parameters
    from m2a.mechanisms import list_mechanisms
    from m2a.models import create_model

    def created() -> Iterator[tuple[str, VideoClassifier]]:
        for mechanism in mechanisms or list_mechanisms():
            yield (
                mechanism,
                create_model(
                    backbone,
                    mechanism=mechanism,
                    num_classes=174 if num_classes is None else num_classes,
                    num_frames=8 if num_frames is None else num_frames,
                    size=224 if size is None else size,
                    reduction=8 if reduction is None else reduction,
                ),
            )

    saved = Path(backbone).exists()
    own = {"mechanisms": mechanisms or None, "--num-classes": num_classes, "--reduction": reduction}
    if saved and (given := [name for name, value in own.items() if value is not None]):
        raise ConfigError(f"{backbone} is a saved model, which has its own; leave {' and '.join(given)} out.")
    rows: list[dict[str, Any]] = []
    for mechanism, model in _saved(backbone, size) if saved else created():
        num_frames = model.num_frames if num_frames is None else num_frames
        size = model.preprocessing.size if size is None else size
        num_classes = model.num_classes
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
    title = f"{backbone}, {num_frames} x {size} x {size}, {num_classes} classes"
    print_table(_table(title, rows))


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    from rich.table import Table

    first, to = rows[0]["macs"], "" if len(rows) == 1 else f"to {rows[0]['mechanism']}"
    table = Table("mechanism", "GMACs", to, "parameters, M", "sites", title=title, title_justify="left")
    for row in rows:
        change = "" if row is rows[0] else f"{row['macs'] / first - 1:+.1%}"
        table.add_row(
            row["mechanism"], f"{row['macs'] / 1e9:.4f}", change, f"{row['parameters'] / 1e6:.4f}", str(row["sites"])
        )
    return table


def _saved(path: str, size: int | None) -> Iterator[tuple[str, VideoClassifier]]:
    """A saved model's network without a mechanism, and the model. Raises ConfigError for an exported file."""
    from m2a.export import is_exported
    from m2a.insertion import remove
    from m2a.models.saving import outline

    if is_exported(path):
        raise ConfigError(f"{path} is an exported file. Give the folder of the model that it was made of.")
    model, bare = outline(path, size=size), outline(path, size=size)
    assert model.config is not None
    if model.config.mechanism != "none":
        remove(bare.backbone)
        yield "none", bare
    yield model.config.mechanism, model
