"""`m2a doctor`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path


def doctor(*, json: bool = False) -> None:
    """Check that this installation can do its work: versions, decoding, a model's forward and backward on each device.

    Exits with 1 when a check fails.

    Parameters
    ----------
    json:
        Print JSON.
    """
    from rich.text import Text

    from m2a.cli.output import CONSOLE, print_json
    from m2a.measurement import hardware, versions

    checks: dict[str, Callable[[], str]] = {
        "versions": lambda: ", ".join(f"{name} {number}" for name, number in versions().items()),
        "hardware": hardware,
        "write and read an mp4": _decode,
    }
    for device in devices():
        checks[f"forward and backward on {device}"] = partial(_model, device)
    results = {name: _run(check) for name, check in checks.items()}
    if json:
        print_json({name: {"ok": ok, "says": says} for name, (ok, says) in results.items()})
    else:
        for name, (ok, says) in results.items():
            mark = ("ok    ", "green") if ok else ("FAILS ", "red")
            CONSOLE.print(Text.assemble(mark, f" {name}: {says}"))
    if not all(ok for ok, _ in results.values()):
        sys.exit(1)


def _run(check: Callable[[], str]) -> tuple[bool, str]:
    try:
        return True, check()
    except Exception as error:  # whatever it is, it is what the user came to see
        return False, f"{type(error).__name__}: {error}"


def _decode() -> str:
    from m2a.data.readers import open_clip
    from m2a.data.synthetic import synthesize

    with tempfile.TemporaryDirectory() as folder:
        pair = ("Moving something up", "Moving something down")
        synthesize(
            Path(folder) / "set",
            layout="class-folders",
            num_train=2,
            num_validation=2,
            classes=pair,
            size=32,
            num_frames=5,
            progress=False,
            workers=1,
        )
        video = next((Path(folder) / "set").rglob("*.mp4"))
        with open_clip(video) as clip:
            return f"{clip.num_frames} frames of {tuple(clip.read([0]).shape[2:])} pixels"


def devices() -> list[str]:
    """Those that torch names here. It names a GPU too that it has no programs for, or that others have filled."""
    import torch

    there = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    return there + (["mps"] if torch.backends.mps.is_available() else [])


def _model(device: str) -> str:
    import torch

    from m2a.models import create_model

    model = create_model("resnet18", num_classes=3, num_frames=4, size=32).to(device)
    model(torch.rand(2, 4, 3, 32, 32).to(device)).sum().backward()
    gradient = model.head.weight.grad
    assert gradient is not None
    gradient.sum().item()  # a GPU tells of errors when it is waited for
    return str(model.insertion)
