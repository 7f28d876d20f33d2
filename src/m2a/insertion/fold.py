"""Between an image network's folded frames and a mechanism's clips. The only place that knows the frame count.

Shapes: N = B * T folded frames; views only, nothing is copied here.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call
from torch.fx import Proxy

from m2a.errors import NotInsertedError, WrappedModelError
from m2a.insertion.again import can_be_repeated, keeping_no, random_state
from m2a.insertion.compiling import guard_hooks
from m2a.insertion.layout import Layout, Origin
from m2a.insertion.sites import Position
from m2a.insertion.trace import argument
from m2a.mechanisms.identity import Init

guard_hooks()  # here: a network that is unpickled brings its hooks along, and calls nothing else of this library


@dataclass
class FrameCount:
    """T, shared by all sites of a model and by the classifier around it, so that setting it once sets it everywhere."""

    value: int


@dataclass(frozen=True, kw_only=True)
class Inserted:
    """What `insert` was told, kept with the sites: a saved model has to say what is in it, not what it began with."""

    spec: str
    position: Position
    reduction: int
    init: Init
    options: Mapping[str, Any]
    where: str | tuple[str, ...] | None
    sites: tuple[str, ...]
    """Names of all its sites, in the network that it was given."""


@dataclass
class SiteHook:
    """Applies `layer.mechanism` to what goes into (or comes out of) the layer it is registered on.

    It finds the mechanism on the layer that calls it rather than holding it, so that a deep copy of the model calls its
    own.
    """

    name: str
    layout: Layout
    frames: FrameCount
    inserted: Inserted
    had_bias: bool = True
    """Whether the layer had one when it got its mechanism. Models that were pickled before it was noted have True."""
    opened: list[tuple[int, saved_tensors_hooks]] = field(default_factory=list, compare=False, repr=False)
    """Contexts of passes that go on, with the thread of each: replicas of a model share the hook."""

    def before(
        self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        self.leave()  # torch does not call it when a pass is interrupted from the keyboard
        mechanism, frames = self._mechanism(layer), self.frames.value
        if kwargs is None:  # torch moved the hook, as it does to a fused copy of the layer, which has its own
            raise self._replaced(layer, "and its mechanism would be applied twice")
        self._check_not_traced(*args, *kwargs.values())
        features = argument(args, kwargs)
        random = random_state(features) if can_be_repeated(mechanism, features) else None
        result = self._apply(layer, features)
        if random is not None and result.requires_grad and all(map(torch.equal, random, random_state(features))):
            weights = dict(mechanism.named_parameters())
            context = keeping_no(result, partial(self._again, mechanism, weights, frames), features, weights.values())
            context.__enter__()
            self.opened.append((threading.get_ident(), context))
        # an attention of torch's is given its features three times: as queries, keys and values
        changed = tuple(result if value is features else value for value in args)
        return changed, {name: result if value is features else value for name, value in kwargs.items()}

    def leave(self, *_: Any) -> None:
        """Ends what `before` began, also when the layer fails."""
        mine = [entry for entry in self.opened if entry[0] == threading.get_ident()]
        for entry in reversed(mine):
            self.opened.remove(entry)
            entry[1].__exit__(None, None, None)

    def after(self, layer: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if self.is_fused(layer):
            raise self._replaced(layer, "and its mechanism would be applied behind the batch norm too")
        self._check_not_traced(output)
        if isinstance(output, Tensor):
            return self._apply(layer, output)
        changed = (self._apply(layer, output[0]), *output[1:])
        return type(output)(*changed) if hasattr(output, "_fields") else type(output)(changed)  # a named tuple, or not

    def __getstate__(self) -> dict[str, Any]:
        """Of a copy: a pass that goes on, or was interrupted, is the original's."""
        return self.__dict__ | {"opened": []}

    def is_fused(self, layer: nn.Module) -> bool:
        """Whether the layer, a convolution without a bias once, has the batch norm behind it in it now. A mechanism
        between the two is then behind both. A convolution that had a bias looks the same when it is fused."""
        return self.inserted.position == "after" and not self.had_bias and getattr(layer, "bias", None) is not None

    def register(self, layer: nn.Module, position: Position) -> None:
        if position == "before":
            layer.register_forward_pre_hook(self.before, with_kwargs=True)
            layer.register_forward_hook(self.leave, always_call=True)
        else:
            layer.register_forward_hook(self.after)

    def _apply(self, layer: nn.Module, x: Tensor) -> Tensor:
        clips_BTCHW = self.layout.clips(x, self.frames.value, self.name)
        return self.layout.features(self._mechanism(layer)(clips_BTCHW), x)

    def _mechanism(self, layer: nn.Module) -> nn.Module:
        """Raises NotInsertedError where torch put this hook on another layer, as `fuse_modules` does."""
        mechanism: nn.Module | None = getattr(layer, "mechanism", None)
        if mechanism is None:
            raise self._replaced(layer, "without its mechanism")
        return mechanism

    def _check_not_traced(self, *values: Any) -> None:
        """Raises WrappedModelError where `torch.fx` follows the network symbolically: it has no tensor for us."""
        if any(isinstance(value, Proxy) for value in values):
            raise WrappedModelError(
                "torch.fx, which create_feature_extractor and symbolic_trace use, cannot follow the mechanism at "
                f"{self.name!r}. Take features by forward hooks or timm's forward_intermediates, or extract them from "
                "the plain network and call m2a.insert on the extractor, whose default sites may be others."
            )

    def _replaced(self, layer: nn.Module, so: str) -> NotInsertedError:
        return NotInsertedError(
            f"The layer at {self.name!r} was replaced by a {type(layer).__name__}, {so}. Fuse and quantise a network "
            "before m2a.insert."
        )

    def _again(self, mechanism: nn.Module, weights: Mapping[str, Tensor], frames: int, x: Tensor) -> Tensor:
        """What `_apply` gave when these were the mechanism, its weights and the number of frames of a clip."""
        clips_BTCHW = self.layout.clips(x, frames, self.name)
        if all(weights[name] is now for name, now in mechanism.named_parameters()):
            return self.layout.features(mechanism(clips_BTCHW), x)
        # that pass was given others, by `torch.func.functional_call`
        return self.layout.features(functional_call(mechanism, dict(weights), (clips_BTCHW,)), x)


@dataclass
class ShapeHook:
    """Looks at the map that tokens are made of, for mechanisms that must know what is beside each token: their number
    alone does not tell 4 x 4 from 2 x 8."""

    origin: Origin

    def before(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._check(argument(args, kwargs))

    def after(self, layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self._check(output[0] if isinstance(output, tuple | list) else output)

    def register(self, layer: nn.Module) -> None:
        if self.origin.position == "before":
            layer.register_forward_pre_hook(self.before, with_kwargs=True)
        else:
            layer.register_forward_hook(self.after)

    def _check(self, x: Any) -> None:
        if isinstance(x, Tensor) and not torch._C._is_tracing():  # `torch.jit.trace`, which has tensors for sizes
            self.origin.check(x.shape)
