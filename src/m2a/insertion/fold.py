"""Between an image network's folded frames and a mechanism's clips. The only place that knows the frame count.

Shapes: N = B * T folded frames; views only, nothing is copied here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from m2a.insertion.layout import Layout
from m2a.insertion.sites import Position


@dataclass
class FrameCount:
    """T, shared by all sites of a model, so that setting it once sets it everywhere."""

    value: int


@dataclass
class SiteHook:
    """Applies `layer.mechanism` to what goes into (or comes out of) the layer it is registered on.

    It finds the mechanism on the layer that calls it rather than holding it, so that a deep copy of the model calls its
    own.
    """

    name: str
    layout: Layout
    frames: FrameCount

    def before(self, layer: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self._apply(layer, args[0]), *args[1:])

    def after(self, layer: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, Tensor):
            return self._apply(layer, output)
        changed = (self._apply(layer, output[0]), *output[1:])
        return type(output)(*changed) if hasattr(output, "_fields") else type(output)(changed)  # a named tuple, or not

    def register(self, layer: nn.Module, position: Position) -> None:
        if position == "before":
            layer.register_forward_pre_hook(self.before)
        else:
            layer.register_forward_hook(self.after)

    def _apply(self, layer: nn.Module, x: Tensor) -> Tensor:
        mechanism = layer.get_submodule("mechanism")
        clips_BTCHW = self.layout.clips(x, self.frames.value, self.name)
        return self.layout.features(mechanism(clips_BTCHW), x)
