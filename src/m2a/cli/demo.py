"""`m2a demo`."""

from __future__ import annotations

from pathlib import Path


def demo(
    *,
    out: Path | None = None,
    mechanisms: tuple[str, ...] = ("none", "m2a"),
    num_train: int | None = None,
    num_validation: int | None = None,
    epochs: int | None = None,
    seed: int = 0,
    json: bool = False,
) -> None:
    """See it work, from nothing, in about 5 minutes on 2 cores.

    Draws clips whose actions only the order of frames tells apart, trains the same small network without and with
    motion, evaluates both, predicts a clip that neither has seen, and writes report.html.

    Parameters
    ----------
    out:
        A new folder; by default runs/demo, or runs/demo-2, ... when that exists.
    mechanisms:
        What to compare; differences are to none, or where it is not among them to the first.
    num_train:
        Training clips to draw.
    num_validation:
        Validation clips to draw.
    epochs:
        Passes over the training clips.
    seed:
        Of clips, weights and order.
    json:
        Print demo.json: the table, and what it was measured on.
    """
    from m2a.cli.output import CONSOLE, error_console, print_json
    from m2a.workflows.demo_runs import demo as run_demo

    sizes = {"num_train": num_train, "num_validation": num_validation}
    result = run_demo(
        out,
        mechanisms=mechanisms,
        epochs=epochs,
        seed=seed,
        console=error_console() if json else CONSOLE,
        **{name: value for name, value in sizes.items() if value is not None},
    )
    if json:
        import json as json_module

        print_json(json_module.loads((result.folder / "demo.json").read_text(encoding="utf-8")))
