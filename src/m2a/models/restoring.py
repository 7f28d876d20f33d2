"""A network of the user's own stays as it was where a model cannot be made of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def as_it_was_on_error(network: nn.Module, *, values: bool) -> Iterator[None]:
    """Puts modules, parameters, hooks and attributes of `network` back where what is done to it raises; with `values`
    what its tensors hold too, of which a copy is kept meanwhile."""
    modules = [(module, type(module), dict(vars(module))) for module in network.modules()]
    inside = [(part, part.copy()) for _, _, own in modules for part in own.values() if isinstance(part, dict)]
    held = [(tensor, tensor.clone()) for tensor in network.state_dict().values()] if values else []
    try:
        yield
    except BaseException:
        for module, kind, own in modules:
            module.__class__ = kind
            vars(module).clear()
            vars(module).update(own)
        for part, content in inside:  # children, parameters, hooks; the handles of hooks know the dictionary itself
            part.clear()
            part.update(content)
        for tensor, value in held:
            tensor.copy_(value)
        raise
