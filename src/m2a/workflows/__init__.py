"""Whole runs, the demo, the page about a data set: what the commands do, for use from Python."""

from m2a.workflows.data_page import describe_set as describe_set
from m2a.workflows.demo import DemoResult as DemoResult
from m2a.workflows.demo import demo as demo
from m2a.workflows.report import report as report
from m2a.workflows.run import RunResult as RunResult
from m2a.workflows.run import evaluate_run as evaluate_run
from m2a.workflows.run import train as train

__all__ = ["DemoResult", "RunResult", "demo", "describe_set", "evaluate_run", "report", "train"]
