"""From models to an application. Imports Starlette only when it is called, so that a missing one can be named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from m2a.errors import ConfigError

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from m2a.app.analysis import Entrant
    from m2a.app.examples import Example
    from m2a.models import VideoClassifier

PREFIX = "m2a-serve-"
"""Of the temporary folders' names."""


def create_app(
    models: Mapping[str, VideoClassifier], *, max_megabytes: float | int = 50, max_seconds: float | int = 60
) -> Starlette:
    """The page as a Starlette application, not yet served: give it to any ASGI server, or mount it in another
    application, `Mount("/try", create_app(...))`.

    Clips are looked at one after the other, in the order of their arrival. Nothing is written but the clip in hand and
    those in line, to a temporary folder that is gone when they are answered; nothing is fetched from anywhere.

    Args:
        models: by the names that the page gives them, left to right. They are put into evaluation mode.
        max_megabytes: size of a clip, in 1,000,000 bytes.
        max_seconds: length of a clip.

    Raises ConfigError when there is no model or one has no labels, for limits that are not above 0, and when Starlette
    or uvicorn is not installed.
    """
    require_extra()
    from m2a.app.analysis import Entrant
    from m2a.app.examples import draw_examples
    from m2a.app.limits import Limits
    from m2a.app.pages import Desk, application

    if not models:
        raise ConfigError("The page needs at least one model; give them as {name: model}.")
    limits = Limits(max_megabytes=max_megabytes, max_seconds=max_seconds)
    entrants = Entrant.of(models)
    known = [label for model in models.values() for label in model.labels or ()]
    examples = draw_examples(known)
    _rehearse(entrants, examples[0])
    return application(Desk(entrants=entrants, examples=examples, limits=limits))


def _rehearse(entrants: Sequence[Entrant], example: Example) -> None:
    """One clip, so that the first visitor's does not take the longest: much is loaded on first use."""
    from m2a.app.analysis import analyse
    from m2a.app.limits import Limits

    with TemporaryDirectory(prefix=PREFIX) as folder:
        clip = Path(folder) / "clip"
        clip.write_bytes(example.video)
        analyse(entrants, clip, "The example", Limits())


def require_extra() -> None:
    """Raises ConfigError when what the page is served with is not installed."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f'The page needs {error.name}, which is not installed: pip install "starlette>=0.45" "uvicorn>=0.34"'
        ) from error
