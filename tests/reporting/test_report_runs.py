"""Reading a run's folder: what is taken, what may be missing, and what the errors tell the user to do."""

from __future__ import annotations

import csv
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from run_folders import evaluation_of, write_guesses, write_run

from m2a.errors import DataError, NotFoundError
from m2a.reporting import Run, write_report

LABELS = ["up", "down", "still"]
CONFUSION = np.array([[3, 1, 0], [2, 2, 1], [0, 0, 5]])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", evaluation_of(CONFUSION, LABELS), config={"lr": 0.1, "sites": ["layer1"]})


def rewrite(folder: Path, **changes: object) -> None:
    path = folder / "evaluation.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_everything_is_read(folder: Path) -> None:
    run = Run.load(folder)
    assert (run.mechanism, run.num_clips, run.labels) == ("m2a", 14, tuple(LABELS))
    assert run.top1 == pytest.approx(1000 / 14)
    assert run.confusion[1] == (2, 2, 1)
    assert run.config == {"lr": "0.1", "sites": '["layer1"]'}
    assert len(run.epochs) == 12
    assert run.epochs[0].seconds == 12.5
    wrong = [row for row in run.predictions if row.label != row.prediction]
    assert len(run.predictions) == 14
    assert len(wrong) == 4
    assert all(row.probability is not None and row.probability > 1 / 3 for row in wrong)


def test_names_that_are_not_utf8(folder: Path) -> None:
    rewrite(folder, skipped=[{"path": "caf\udce9.mp4", "reason": "it is damaged"}])
    predictions = folder / "predictions.csv"
    predictions.write_bytes(predictions.read_bytes().replace(b"\n1001,", b"\ncaf\xe9,"))
    run = Run.load(folder)
    assert run.predictions[0].clip == "caf\udce9"
    page = write_report([folder], folder / "report.html", title="t").read_text(encoding="utf-8")
    assert "caf?.mp4" in page


def test_only_the_evaluation_is_needed(tmp_path: Path) -> None:
    evaluation = evaluation_of(CONFUSION, LABELS)
    for key in ("skipped", "versions", "hardware", "macs", "top5", "data", "num_frames", "size"):
        del evaluation[key]
    run = Run.load(write_run(tmp_path / "run", evaluation, epochs=0, predictions=False))
    assert (run.epochs, run.predictions, dict(run.config), run.macs, run.top5) == ((), (), {}, None, None)


def test_of_the_predictions_only_what_is_used_is_kept(folder: Path) -> None:
    """Of 211 clips, 503 probabilities each: as text they are some megabytes."""
    columns = ["clip", "label", "prediction", *LABELS, *(f"class {number}" for number in range(500))]
    rows = [[clip, "up", "down", *(f"0.{clip:03}{place:03}" for place in range(503))] for clip in range(211)]
    with (folder / "predictions.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    Run.load(folder)  # what is loaded and made once
    tracemalloc.start()
    try:
        kept = Run.load(folder).predictions
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(kept) == 211
    assert kept[7].probability == pytest.approx(0.007001)
    assert peak < 2e6


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_null_and_nan_are_missing(folder: Path, missing: float | None) -> None:
    rewrite(folder, top1=missing, macs=missing)
    run = Run.load(folder)
    assert run.top1 is None
    assert run.macs is None


def test_empty_cells_of_metrics_are_missing(folder: Path) -> None:
    (folder / "metrics.csv").write_text("epoch,train_loss,val_loss,val_top1\n1,2.5,,\n2,2.0,nan,41.5\n")
    first, second = Run.load(folder).epochs
    assert (first.train_loss, first.val_loss, first.val_top1) == (2.5, None, None)
    assert (second.val_loss, second.val_top1, second.seconds) == (None, 41.5, None)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such folder"):
        Run.load(tmp_path / "nowhere")


def test_no_evaluation_names_the_command(folder: Path) -> None:
    (folder / "evaluation.json").unlink()
    with pytest.raises(
        NotFoundError, match=r"evaluation\.json: no such file.*did not finish; .*config.yaml --out .*run --resume"
    ):
        Run.load(folder)
    (folder / "model").mkdir()
    with pytest.raises(NotFoundError, match=r"evaluation\.json: no such file.*Run `m2a evaluate .*run`"):
        Run.load(folder)


def test_the_epoch_whose_model_was_kept(folder: Path) -> None:
    rows = ["epoch,val_loss,val_top1,val_mean_class", "1,2,40,30", "2,1,60,50", "3,1,60,55", "4,1,20,20"]
    (folder / "metrics.csv").write_text("\n".join(rows) + "\n")
    assert Run.load(folder).best_epoch == 2  # of the best the first, which has the same loss
    config = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(config + "class_weights: balanced\n")
    assert Run.load(folder).best_epoch == 3
    (folder / "metrics.csv").write_text("epoch,val_loss,val_top1,val_mean_class\n1,2,50,50\n2,1,50,50\n3,,50,50\n")
    assert Run.load(folder).best_epoch == 2, "of several with the same top-1 the one with the lowest loss is kept"
    (folder / "metrics.csv").unlink()
    assert Run.load(folder).best_epoch is None


def test_damaged_evaluation_names_the_command(folder: Path) -> None:
    path = folder / "evaluation.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(DataError, match=r"not readable as JSON.*Run `m2a evaluate"):
        Run.load(folder)
    path.write_text("[]")
    with pytest.raises(DataError, match="expected an object at the top, got list"):
        Run.load(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, "schema 2, this version reads schema 1"),
        ({"top1": "high"}, "a value is not of the expected kind"),
        ({"num_clips": float("inf")}, "a value is not of the expected kind"),
        ({"labels": None}, "a value is not of the expected kind"),
        ({"confusion": [[1, 2], [3, 4]]}, "confusion is 2 x 2, expected 3 x 3"),
        ({"confusion": [[1, 2, 3], [3, 4], [0, 0, 5]]}, "confusion is 3 x 2/3, expected 3 x 3"),
    ],
)
def test_unexpected_values(folder: Path, changes: dict[str, object], message: str) -> None:
    rewrite(folder, **changes)
    with pytest.raises(DataError, match=message):
        Run.load(folder)


def test_missing_keys_are_listed(folder: Path) -> None:
    (folder / "evaluation.json").write_text('{"schema": 1, "mechanism": "m2a", "num_clips": 3, "top1": 1.0}')
    with pytest.raises(DataError, match="lacks labels, per_class, confusion"):
        Run.load(folder)


def test_a_quote_that_is_not_closed_is_named(folder: Path) -> None:
    """It makes one field of all that follows, longer than a reader of csv takes."""
    (folder / "predictions.csv").write_text('clip,label,prediction\n"7,up,up\n' + "8,up,up\n" * 20_000)
    with pytest.raises(DataError, match=r"predictions\.csv, line .*field larger than .*; is a quote not closed\?"):
        Run.load(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metrics.csv", "epoch,val_top1\n1,10\n2,many\n", r"metrics\.csv, line 3: could not convert .*'many'"),
        ("metrics.csv", "epoch,val_top1\ninf,10\n", r"metrics\.csv, line 2: cannot convert float infinity"),
        ("metrics.csv", "step,loss\n1,10\n", r"must begin with epoch; it has step, loss"),
        ("predictions.csv", "clip,prediction,up\n7,up,1\n", r"must begin with clip, label, prediction; it has clip,"),
        ("predictions.csv", "clip,label,prediction,up\n7,up,up,likely\n", r"predictions\.csv, line 2"),
        ("config.yaml", "lr: [0.1", "not readable as YAML"),
        ("config.yaml", "- lr", "expected options and values, got list"),
    ],
)
def test_damaged_companions_are_named(folder: Path, name: str, content: str, message: str) -> None:
    (folder / name).write_text(content)
    with pytest.raises(DataError, match=message):
        Run.load(folder)


def test_classes_called_like_the_first_columns(folder: Path) -> None:
    labels = ("clip", "label", "prediction")
    guesses = [("clip", "label"), ("label", "label"), ("prediction", "clip")]
    run = Run.load(write_guesses(folder / "named", guesses, labels, ids=("1", "2", "3")))
    assert [(row.clip, row.label, row.prediction) for row in run.predictions] == [
        (name, *pair) for name, pair in zip("123", guesses, strict=True)
    ]
    assert [row.probability for row in run.predictions] == [0.9, 0.9, 0.9]
