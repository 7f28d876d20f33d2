"""Training: one dataclass of options, Lightning underneath. Names are loaded on first use: options need no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from m2a.training.config import RECIPES as RECIPES
from m2a.training.config import TrainConfig as TrainConfig

if TYPE_CHECKING:
    from m2a.training.fitting import FitResult as FitResult
    from m2a.training.fitting import fit as fit
    from m2a.training.starting import options_of as options_of

__all__ = ["RECIPES", "FitResult", "TrainConfig", "fit", "options_of"]


if not TYPE_CHECKING:  # a type checker would take any name for one of ours

    def __getattr__(name: str) -> Any:
        if name in ("FitResult", "fit"):
            from m2a.training import fitting as module

            return getattr(module, name)
        if name == "options_of":
            from m2a.training.starting import options_of

            return options_of
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
