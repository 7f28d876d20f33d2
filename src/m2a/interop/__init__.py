"""Checkpoints of other projects as models of this one: the released M2A code, TSM, TAM, and of TEA and TDN what fits.

Names are loaded on first use, so that reading a file of labels never imports torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from m2a.interop.checkpoint import Imported as Imported
    from m2a.interop.checkpoint import import_checkpoint as import_checkpoint
    from m2a.interop.checkpoint import read_checkpoint as read_checkpoint
    from m2a.interop.convert import convert_state_dict as convert_state_dict
    from m2a.interop.labels import ClassNames as ClassNames
    from m2a.interop.labels import read_labels as read_labels
    from m2a.interop.labels import reorder_classes as reorder_classes
    from m2a.interop.placed import Placed as Placed
    from m2a.interop.report import ImportReport as ImportReport
    from m2a.interop.report import Unplaced as Unplaced

_HOMES = {
    "ClassNames": "labels",
    "ImportReport": "report",
    "Imported": "checkpoint",
    "Placed": "placed",
    "Unplaced": "report",
    "convert_state_dict": "convert",
    "import_checkpoint": "checkpoint",
    "read_checkpoint": "checkpoint",
    "read_labels": "labels",
    "reorder_classes": "labels",
}
__all__ = [
    "ClassNames",
    "ImportReport",
    "Imported",
    "Placed",
    "Unplaced",
    "convert_state_dict",
    "import_checkpoint",
    "read_checkpoint",
    "read_labels",
    "reorder_classes",
]


if not TYPE_CHECKING:  # a type checker would take any name for one of ours

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            return getattr(import_module(f"m2a.interop.{_HOMES[name]}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
