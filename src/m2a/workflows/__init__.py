"""Whole runs, the demo, the page about a data set: what the commands do, for use from Python.

Names are loaded on first use, so that only what trains imports the trainer.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from m2a.workflows.data_page import describe_set as describe_set
    from m2a.workflows.demo_runs import DemoResult as DemoResult
    from m2a.workflows.demo_runs import demo as demo
    from m2a.workflows.report_page import report as report
    from m2a.workflows.run import RunResult as RunResult
    from m2a.workflows.run import evaluate_run as evaluate_run
    from m2a.workflows.run import train as train

_HOMES = {
    "DemoResult": "demo_runs",
    "RunResult": "run",
    "demo": "demo_runs",
    "describe_set": "data_page",
    "evaluate_run": "run",
    "report": "report_page",
    "train": "run",
}
__all__ = ["DemoResult", "RunResult", "demo", "describe_set", "evaluate_run", "report", "train"]


if not TYPE_CHECKING:  # a type checker would take any name for one of ours

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            return getattr(import_module(f"m2a.workflows.{_HOMES[name]}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
