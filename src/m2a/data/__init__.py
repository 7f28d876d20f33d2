"""From files on disk to clips: annotations, readers, sampling, transforms, the synthetic set.

Names are loaded on first use, so that reading a list of clips never imports torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .annotations import read_clips as read_clips
    from .augment import Augmentation as Augmentation
    from .batch import BadClip as BadClip
    from .batch import Batch as Batch
    from .batch import Sample as Sample
    from .batch import collate as collate
    from .cache import ClipCache as ClipCache
    from .checking import CheckReport as CheckReport
    from .checking import Finding as Finding
    from .checking import check_clips as check_clips
    from .clipset import ClipFile as ClipFile
    from .clipset import ClipSet as ClipSet
    from .clipset import find_clips as find_clips
    from .dataset import ClipDataset as ClipDataset
    from .dataset import make_loader as make_loader
    from .labels import describe_flips as describe_flips
    from .labels import flip_map as flip_map
    from .labels import mirror_label as mirror_label
    from .live import LiveFrame as LiveFrame
    from .live import LiveVideo as LiveVideo
    from .preprocessing import Preprocessing as Preprocessing
    from .readers import ClipReader as ClipReader
    from .readers import open_clip as open_clip
    from .readers import read_clip as read_clip
    from .reversal import describe_reversals as describe_reversals
    from .reversal import reversal_map as reversal_map
    from .sampling import drawn_indices as drawn_indices
    from .sampling import segment_indices as segment_indices
    from .sampling import view_indices as view_indices
    from .sharding import ShardSummary as ShardSummary
    from .sharding import write_shards as write_shards
    from .skip_list import leave_out as leave_out
    from .statistics import SetStatistics as SetStatistics
    from .statistics import describe_clips as describe_clips

_HOMES = {
    "Augmentation": "augment",
    "BadClip": "batch",
    "Batch": "batch",
    "CheckReport": "checking",
    "ClipCache": "cache",
    "ClipDataset": "dataset",
    "ClipFile": "clipset",
    "ClipReader": "readers",
    "ClipSet": "clipset",
    "Finding": "checking",
    "LiveFrame": "live",
    "LiveVideo": "live",
    "Preprocessing": "preprocessing",
    "Sample": "batch",
    "SetStatistics": "statistics",
    "ShardSummary": "sharding",
    "check_clips": "checking",
    "collate": "batch",
    "describe_clips": "statistics",
    "describe_flips": "labels",
    "describe_reversals": "reversal",
    "drawn_indices": "sampling",
    "find_clips": "clipset",
    "flip_map": "labels",
    "leave_out": "skip_list",
    "make_loader": "dataset",
    "mirror_label": "labels",
    "open_clip": "readers",
    "read_clip": "readers",
    "read_clips": "annotations",
    "reversal_map": "reversal",
    "segment_indices": "sampling",
    "view_indices": "sampling",
    "write_shards": "sharding",
}
__all__ = [
    "Augmentation",
    "BadClip",
    "Batch",
    "CheckReport",
    "ClipCache",
    "ClipDataset",
    "ClipFile",
    "ClipReader",
    "ClipSet",
    "Finding",
    "LiveFrame",
    "LiveVideo",
    "Preprocessing",
    "Sample",
    "SetStatistics",
    "ShardSummary",
    "check_clips",
    "collate",
    "describe_clips",
    "describe_flips",
    "describe_reversals",
    "drawn_indices",
    "find_clips",
    "flip_map",
    "leave_out",
    "make_loader",
    "mirror_label",
    "open_clip",
    "read_clip",
    "read_clips",
    "reversal_map",
    "segment_indices",
    "view_indices",
    "write_shards",
]


if not TYPE_CHECKING:  # a type checker would take any name for one of ours

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            return getattr(import_module(f".{_HOMES[name]}", __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
