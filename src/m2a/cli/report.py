"""`m2a report`."""

from __future__ import annotations

from pathlib import Path


def report(*runs: Path, out: Path | None = None, heat: bool = False, json: bool = False) -> None:
    """Write the page about a run again, or one about several side by side.

    A single file that needs neither network nor scripts: results, probes, curves, classes, confusion, and film strips
    of some clips and of the surest mistakes. For several runs also what each class gains over the baseline.

    Parameters
    ----------
    runs:
        A run's folder, or several. The baseline is the one without a mechanism (none), where there is
        none the first.
    out:
        The file; by default report.html in the folder of a single run, comparison.html here for several.
    heat:
        Under each strip, where in the frames the model found what speaks for the class it named.
    json:
        Print the page's path as JSON.
    """
    from m2a.cli.output import CONSOLE, print_json
    from m2a.workflows.report_page import report as write

    path = write(runs, out, heat=heat)
    if json:
        print_json({"report": str(path)})
    else:
        CONSOLE.print(f"written: {path}", highlight=False, soft_wrap=True)
