"""How time and memory grow with the length, the size and the number of clips, without and with a mechanism."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from m2a.measurement.model_speed import BenchSettings, SpeedRow, measure_model

AXES: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {"num_frames": (4, 8, 16, 32, 64), "size": (64, 96, 128, 192), "batch_size": (1, 2, 4, 8)}
)


@dataclass(frozen=True, kw_only=True)
class GrowthPoint:
    """A training step, and inference, at one value along one axis; what is not along it stays as in the settings."""

    axis: str
    value: int
    training: SpeedRow
    inference: SpeedRow

    def to_dict(self) -> dict[str, Any]:
        return {
            "axis": self.axis,
            "value": self.value,
            "training": self.training.to_dict(),
            "inference": self.inference.to_dict(),
        }


def measure_growth(
    mechanism: str, settings: BenchSettings, axes: Mapping[str, Sequence[int]] | None = None
) -> Iterator[GrowthPoint]:
    """A point for each value along each axis, by default of `AXES`, in turns with the bare backbone."""
    for axis, values in (AXES if axes is None else axes).items():
        for value in values:
            change: dict[str, Any] = {axis: value}
            there = replace(settings, **change)
            yield GrowthPoint(
                axis=axis,
                value=value,
                training=measure_model(mechanism, "training", there),
                inference=measure_model(mechanism, "inference", there),
            )
