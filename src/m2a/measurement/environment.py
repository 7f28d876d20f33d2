"""What a result was measured on: it is written beside every figure."""

from __future__ import annotations

import platform
import subprocess
from contextlib import suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from m2a.data.cores import num_cores


def hardware() -> str:
    """The processor and how many cores this process may use, and the GPUs torch sees."""
    parts = [f"{num_cores()} x {_processor()}"]
    parts += [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return ", ".join(parts)


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that a figure can depend on; one that is not installed has none."""
    found = {"python": platform.python_version()}
    for name in ("m2a", "torch", "torchvision", "timm", "lightning", "av"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def commit() -> str | None:
    """The git commit of the library's source, with "+" when it was changed since; None for an installed wheel."""
    here = Path(__file__).parent
    try:
        run = partial(subprocess.run, cwd=here, capture_output=True, text=True, check=True, timeout=10)
        run(["git", "ls-files", "--error-unmatch", Path(__file__).name])  # fails where this file is not the clone's own
        revision = run(["git", "rev-parse", "--short=12", "HEAD"]).stdout.strip()
        changed = run(["git", "status", "--porcelain", "--untracked-files=no", "--", str(here.parent)]).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return revision + ("+" if changed else "")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
