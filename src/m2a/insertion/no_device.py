"""What code asks of its tensors' device where they are on none: torch's meta device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any
from unittest.mock import patch

import torch

_ONE_AT_A_TIME = RLock()


@contextmanager
def autocast_on_meta() -> Iterator[None]:
    """Lets networks be followed that use or ask for `torch.autocast(x.device.type)`, with which many keep a part in
    float32, on tensors without data: torch refuses that device. Nothing is cast there."""
    with _ONE_AT_A_TIME:
        begin = torch.autocast.__init__

        def without_device(self: torch.autocast, device_type: str, *args: Any, **kwargs: Any) -> None:
            begin(self, "cpu" if device_type == "meta" else device_type, *args, **kwargs)

        enabled, dtype = torch.is_autocast_enabled, torch.get_autocast_dtype

        def its_dtype(device_type: str) -> torch.dtype:
            return dtype("cpu" if device_type == "meta" else device_type)

        def is_enabled(*device_type: str) -> bool:
            return device_type != ("meta",) and enabled(*device_type)

        with (
            patch.object(torch.autocast, "__init__", without_device),
            patch.object(torch, "is_autocast_enabled", is_enabled),
            patch.object(torch, "get_autocast_dtype", its_dtype),
        ):
            yield
