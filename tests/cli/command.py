"""Running the m2a command inside a test, and the tiny set it runs on."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

from m2a.cli import main
from m2a.data.synthetic import synthesize

TINY = {
    "--recipe": "quick",
    "--backbone": "resnet10t",
    "--backbone-options.channels": "[16, 16, 32, 32]",
    "--reduction": "2",
    "--pretrained": "none",
    "--size": "32",
    "--epochs": "1",
    "--batch-size": "4",
    "--workers": "0",
    "--device": "cpu",
}


def tiny(**changes: object) -> list[str]:
    """Flags of a training run that takes a second; `num_frames=4` adds or replaces `--num-frames 4`."""
    flags = TINY | {"--" + name.replace("_", "-"): str(value) for name, value in changes.items()}
    return [word for flag in flags.items() for word in flag]


LABELS = ("Moving something up", "Moving something down", "Holding something")


@dataclass(frozen=True)
class Outcome:
    """What a command printed, and how it ended."""

    out: str
    err: str
    code: int

    @property
    def message(self) -> str:
        """stderr on one line."""
        return " ".join(self.err.split())


def run_command(*arguments: object) -> Outcome:
    """Runs the m2a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
    return Outcome(out.getvalue(), err.getvalue(), code)


def draw(root: Path, layout: str) -> Path:
    synthesize(
        root, layout=layout, num_train=9, num_validation=6, classes=LABELS, size=32, num_frames=11, progress=False,
        workers=1,
    )  # fmt: skip
    return root
