"""The `m2a` command: one thin file per verb. Nothing heavy is imported before a verb runs, so `--help` is quick."""

from m2a.cli.main import main as main

__all__ = ["main"]
