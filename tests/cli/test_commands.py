"""The commands end to end, on a tiny set on disk."""

from __future__ import annotations

import csv
import importlib
import json
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
import timm
import torch
import yaml
from command import LABELS, Outcome, tiny

from m2a.measurement import count_macs, count_parameters
from m2a.models import load
from m2a.training.config import TrainConfig

Command = Callable[..., Outcome]
VERBS = (
    "compare", "data", "demo", "doctor", "evaluate", "explain", "list", "macs", "predict", "report", "train",
)  # fmt: skip


def test_run_folder_is_complete(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert names >= {
        "config.yaml", "checkpoints", "metrics.csv", "evaluation.json", "predictions.csv", "model", "report.html",
        "tensorboard",
    }  # fmt: skip
    assert {path.name for path in (trained / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert {"config.json", "model.safetensors"} <= {path.name for path in (trained / "model").iterdir()}
    evaluation = json.loads((trained / "evaluation.json").read_text())
    assert evaluation["labels"] == sorted(LABELS)
    assert evaluation["num_clips"] == 6
    assert sum(map(sum, evaluation["confusion"])) == 6
    with (trained / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    right = sum(row["label"] == row["prediction"] for row in rows)
    assert evaluation["top1"] == pytest.approx(100 * right / 6)


def test_training_from_the_runs_own_config(m2a: Command, trained: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    outcome = m2a("train", "--config", trained / "config.yaml", "--out", again, "--mechanism", "tsm", "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["mechanism"] == "tsm"
    ours, theirs = (yaml.safe_load((folder / "config.yaml").read_text()) for folder in (again, trained))
    assert {key for key in ours if ours[key] != theirs[key]} == {"out", "mechanism"}


def test_options_of_the_backbone_come_through_a_config(
    m2a: Command, video_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every kind that YAML has, and that timm takes; and the mechanism's."""
    given = {"eps": 1e-5, "block_args": {"attn_layer": "eca"}, "channels": [8], "kinds": [True, None], "name": "no"}
    made = TrainConfig(data=video_set, backbone_options=given, mechanism_options={"boundary": "zero", "offset": 2})
    made.save(tmp_path / "config.yaml")
    seen: list[TrainConfig] = []
    monkeypatch.setattr("m2a.workflows.run.train", lambda config: seen.append(config) or sys.exit(0))
    m2a("train", "--config", tmp_path / "config.yaml")
    m2a("train", "--data", video_set, "--backbone-options.eps", "1e-6")
    flags = ("--backbone-options.eps", "1e-6", "--backbone-options.drop-path-rate", "0.1")
    m2a("train", "--config", tmp_path / "config.yaml", *flags, "--mechanism-options.offset", "3")
    assert seen[0] == made
    assert seen[1].backbone_options == {"eps": 1e-6}
    assert seen[2].backbone_options == {**made.backbone_options, "eps": 1e-6, "drop_path_rate": 0.1}, (
        "flags go over it key by key"
    )
    assert seen[2].mechanism_options == {"boundary": "zero", "offset": 3}


def test_an_adapter_from_training_to_prediction(m2a: Command, video_set: Path, tmp_path: Path) -> None:
    net = timm.create_model("resnet10t", channels=(16, 16, 32, 32))
    torch.save(net.state_dict(), tmp_path / "image.pth")
    flags = tiny(pretrained=tmp_path / "image.pth", init="identity")
    run = tmp_path / "run"
    outcome = m2a("train", "--data", video_set, "--out", run, "--freeze-backbone", *flags)
    assert outcome.code == 0, outcome.err
    assert "the part that was trained is in" in outcome.message
    assert (run / "adapter" / "adapter.safetensors").stat().st_size < (
        run / "model" / "model.safetensors"
    ).stat().st_size
    video = next(video_set.rglob("*.mp4"))
    whole, part = (
        json.loads(m2a("predict", video, "--model", run / name, "--json").out) for name in ("model", "adapter")
    )
    assert part == whole
    (tmp_path / "image.pth").rename(tmp_path / "moved.pth")
    outcome = m2a("predict", video, "--model", run / "adapter", "--json")
    assert outcome.code == 1
    assert "which is not here" in outcome.message
    assert "--image-weights FILE" in outcome.message
    outcome = m2a("predict", video, "--model", run / "adapter", "--image-weights", tmp_path / "moved.pth", "--json")
    assert json.loads(outcome.out) == whole
    scores = m2a(
        "evaluate", run / "adapter", "--image-weights", tmp_path / "moved.pth", "--data", video_set, "--out",
        tmp_path / "again", "--workers", 0, "--json",
    )  # fmt: skip
    assert json.loads(scores.out)["top1"] == json.loads((run / "evaluation.json").read_text())["top1"]


def test_beside_random_weights_there_is_no_adapter(m2a: Command, video_set: Path, tmp_path: Path) -> None:
    outcome = m2a("train", "--data", video_set, "--out", tmp_path / "run", "--freeze-backbone", *tiny())
    assert outcome.code == 0, outcome.err
    assert "no adapter was saved" in outcome.message
    assert not (tmp_path / "run" / "adapter").exists()
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()


def test_training_on_something_something_layout(m2a: Command, frames_set: Path, tmp_path: Path) -> None:
    outcome = m2a("train", "--data", frames_set, "--out", tmp_path / "run", *tiny(mechanism="m2a+tsm"))
    assert outcome.code == 0, outcome.err
    assert "something-something-v1" in outcome.err


def test_evaluate_reproduces_the_runs_evaluation(m2a: Command, trained: Path, video_set: Path, tmp_path: Path) -> None:
    outcome = m2a("evaluate", trained, "--data", video_set, "--out", tmp_path / "again", "--workers", 0, "--json")
    assert outcome.code == 0, outcome.err
    before, after = json.loads((trained / "evaluation.json").read_text()), json.loads(outcome.out)
    for key in ("top1", "top5", "per_class", "confusion", "macs", "parameters", "labels"):
        assert after[key] == before[key], key


def test_an_evaluation_of_many_classes_is_short(trained: Path) -> None:
    """A line a class in its confusion matrix; all else as json has it, in the same order."""
    text = (trained / "evaluation.json").read_text()
    content = json.loads(text)
    lines = text.splitlines()
    rows = lines.index(' "confusion": [') + 1
    assert lines[rows + 3] == " ],"
    assert [json.loads(line.rstrip(",")) for line in lines[rows : rows + 3]] == content["confusion"]
    rest = json.dumps({**content, "confusion": []}, indent=1)
    assert [*lines[: rows - 1], ' "confusion": [],', *lines[rows + 4 :]] == rest.splitlines()


def test_a_run_is_evaluated_on_the_clips_it_chose(m2a: Command, trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    TrainConfig.load(run / "config.yaml", validation_clips_per_class=1).save(run / "config.yaml")
    outcome = m2a("evaluate", run, "--workers", 0, "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["num_clips"] == 3
    assert "the first 1 clips of each class of validation: 3 of 6" in outcome.err


def test_evaluate_a_saved_model_in_a_table(m2a: Command, trained: Path, video_set: Path, tmp_path: Path) -> None:
    outcome = m2a("evaluate", trained / "model", "--data", video_set, "--out", tmp_path / "out", "--workers", 0)
    assert outcome.code == 0, outcome.err
    assert all(label in outcome.out for label in LABELS)


def test_evaluate_never_overwrites_the_runs_results(m2a: Command, trained: Path, video_set: Path) -> None:
    outcome = m2a("evaluate", trained, "--split-number", 2)
    assert outcome.code == 1
    assert "--format and --split-number are for --data" in outcome.message
    for flags in (("--data", video_set), ("--num-crops", 3), ("--skip-list", video_set / "no.txt")):
        outcome = m2a("evaluate", trained, *flags)
        assert outcome.code == 1
        assert "Name a folder for the results with --out" in outcome.message


def test_evaluate_replaces_nothing_of_anybody_else(
    m2a: Command, trained: Path, video_set: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(trained, tmp_path / "other")
    before = {path: path.read_bytes() for path in run.iterdir() if path.is_file()}
    flags = ("--split", "train", "--workers", 0)
    for mine in (run, trained):
        message = m2a("evaluate", trained, *flags, "--out", mine).message
        assert f"{mine} is the folder of a run, whose own results are not overwritten" in message
    for name in ("evaluation.json", "predictions.csv"):
        out = tmp_path / name
        out.mkdir()
        (out / name).write_text('{"my": "own"}')
        outcome = m2a("evaluate", trained, *flags, "--out", out)
        assert outcome.code == 1
        assert f"{out / name} is there already and was not written by m2a" in outcome.message
        assert [path.name for path in out.iterdir()] == [name]
    assert "is a file; name a folder" in m2a("evaluate", trained, *flags, "--out", run / "config.yaml").message
    assert before == {path: path.read_bytes() for path in before}
    for _ in range(2):  # its own results it replaces
        assert m2a("evaluate", trained, *flags, "--out", tmp_path / "again").code == 0
    assert m2a("evaluate", run, "--workers", 0, "--out", run).code == 0


def test_evaluate_replaces_no_results_of_another_model_and_no_probes(
    m2a: Command, trained: Path, video_set: Path, tmp_path: Path
) -> None:
    run, out = shutil.copytree(trained, tmp_path / "other"), tmp_path / "out"
    flags = ("--data", video_set, "--out", out, "--workers", 0)
    assert m2a("evaluate", run, *flags).code == 0
    before = (out / "evaluation.json").read_bytes()
    others = [
        (trained, *flags),
        (run, *flags, "--split", "train"),
        (run, *flags, "--num-crops", 3),
        (run, *flags[2:]),  # on its own data
    ]
    for arguments in others:
        refused = m2a("evaluate", *arguments)
        assert refused.code == 1
        assert f"{out / 'evaluation.json'} holds other results" in refused.message
        assert (out / "evaluation.json").read_bytes() == before
    for arguments, place in (((run, *flags), out), ((run, "--workers", 0), run)):
        probed = m2a("evaluate", *arguments, "--probes")
        assert probed.code == 0
        assert "shuffled" in probed.out
        assert "top-5" not in probed.out  # of 3 classes
        refused = m2a("evaluate", *arguments)
        assert refused.code == 1
        assert f"{place / 'evaluation.json'} holds probes in time" in refused.message
        assert "probes" in json.loads((place / "evaluation.json").read_text())
        assert m2a("evaluate", *arguments, "--probes").code == 0


def test_predict_names_every_label(m2a: Command, trained: Path, video_set: Path, frames_set: Path) -> None:
    video = next(video_set.rglob("*.mp4"))
    frames = next((frames_set / "20bn-something-something-v1").iterdir())
    outcome = m2a("predict", video, frames, "--model", trained / "model", "--json")
    assert outcome.code == 0, outcome.err
    answers = json.loads(outcome.out)
    assert [answer["path"] for answer in answers] == [str(video), str(frames)]
    for answer in answers:
        assert {guess["label"] for guess in answer["top"]} == set(LABELS)
        assert sum(guess["probability"] for guess in answer["top"]) == pytest.approx(1, abs=1e-4)
    assert json.loads(m2a("predict", video, frames, "--model", trained, "--json").out) == answers  # the run's folder
    assert "probability" in m2a("predict", video, "--model", trained / "model", "--top-k", 2).out


def test_predict_says_where_nothing_moves(m2a: Command, trained: Path, frames_set: Path, tmp_path: Path) -> None:
    moving = next((frames_set / "20bn-something-something-v1").iterdir())
    (tmp_path / "still").mkdir()
    shutil.copy(min(moving.iterdir()), tmp_path / "still" / "1.jpg")
    outcome = m2a("predict", tmp_path / "still", moving, "--model", trained)
    assert outcome.code == 0
    told = "the frames that the model looked at are all the same picture: nothing moves in it"
    assert outcome.message == f"{tmp_path / 'still'}: {told}"


def test_predict_takes_folders_of_videos_and_goes_on_after_a_bad_one(
    m2a: Command, trained: Path, own_videos: Path
) -> None:
    folder = own_videos / "validation"
    bad = folder / LABELS[0] / "bad.mp4"
    bad.write_text("hello")
    good = {str(path) for path in folder.rglob("*.mp4")} - {str(bad)}
    outcome = m2a("predict", folder, "--model", trained, "--batch-size", 2, "--json")
    assert outcome.code == 1
    assert f"1 of {len(good) + 1} videos cannot be decoded" in outcome.message
    assert str(bad) in outcome.message
    answers = {answer["path"]: answer for answer in json.loads(outcome.out)}
    assert "this is not a video" in answers.pop(str(bad))["error"]
    assert set(answers) == good
    bad.unlink()
    outcome = m2a("predict", folder, "--model", trained, "--bf16", "--workers", 1)
    assert outcome.code == 0, outcome.err
    shown = "".join(part for part in outcome.out if not part.isspace() and part not in "│┃")
    assert all(Path(path).name in shown for path in good)
    assert shown.count("%") == len(good)
    empty = own_videos / "empty" / "below"
    empty.mkdir(parents=True)
    assert (
        f"{empty.parent}: there is no clip in this folder" in m2a("predict", empty.parent, "--model", trained).message
    )


def test_predict_slides_over_a_long_video(m2a: Command, trained: Path, video_set: Path, tmp_path: Path) -> None:
    video = next(video_set.rglob("*.mp4"))
    flags = ("--model", trained / "model", "--sliding", "--window", 0.4, "--step", 0.2)
    outcome = m2a("predict", video, *flags, "--picture", tmp_path / "new" / "timeline.png", "--json")
    assert outcome.code == 0, outcome.err
    timeline = json.loads(outcome.out)[0]
    assert timeline["intervals"][0]["start"] == 0
    assert timeline["intervals"][-1]["end"] == timeline["seconds"] == timeline["windows"][-1]["end"]
    assert (tmp_path / "new" / "timeline.png").stat().st_size > 1000
    assert "from, s" in m2a("predict", video, *flags).out
    assert m2a("predict", video, *flags, "--picture", tmp_path / "new" / "timeline.png").code == 0
    (tmp_path / "mine.png").write_bytes(b"a holiday picture")
    outcome = m2a("predict", video, *flags, "--picture", tmp_path / "mine.png")
    assert (outcome.code, outcome.out) == (1, "")
    assert "mine.png is there already and was not written by m2a" in outcome.message
    assert "Name another file with --picture" in outcome.message
    assert (tmp_path / "mine.png").read_bytes() == b"a holiday picture"
    assert "A picture is a .png" in m2a("predict", video, *flags, "--picture", tmp_path / "a.jpg").message
    assert (
        "--picture draws the timeline of one video"
        in m2a("predict", video, "--model", trained / "model", "--picture", tmp_path / "no.png").message
    )


def test_options_of_windows_without_windows(m2a: Command, video_set: Path) -> None:
    """They would change nothing; told before a model is looked for."""
    video = next(video_set.rglob("*.mp4"))
    one = m2a("predict", video, "--model", "gone", "--step", 1)
    assert (one.code, "--step is for windows that slide over a video" in one.message) == (1, True)
    more = m2a("predict", video, "--model", "gone", "--window", 2, "--frame-rate", 12)
    assert more.code == 1
    assert "--window and --frame-rate are for windows that slide over a video" in more.message
    assert "Add --sliding (or --stream, which has no --step), or leave them out." in more.message


def test_sliding_goes_on_after_a_bad_video(m2a: Command, trained: Path, own_videos: Path) -> None:
    folder = own_videos / "validation" / LABELS[0]
    bad, good = folder / "0.mp4", sorted(map(str, folder.glob("*.mp4")))
    bad.write_text("hello")
    flags = ("--model", trained, "--sliding", "--window", 0.4)
    outcome = m2a("predict", folder, *flags, "--json")
    assert outcome.code == 1
    assert f"1 of {len(good) + 1} videos cannot be decoded: {bad}: this is not a video" in outcome.message
    first, *timelines = json.loads(outcome.out)
    assert first["path"] == str(bad)
    assert "this is not a video" in first["error"]
    assert [timeline["path"] for timeline in timelines] == good
    shown = m2a("predict", folder, *flags)
    assert shown.code == 1
    assert shown.out.count("from, s") == len(good)
    alone = m2a("predict", bad, *flags, "--picture", own_videos / "no.png", "--json")
    assert alone.code == 1
    assert json.loads(alone.out) == [first]
    assert not (own_videos / "no.png").exists()


def test_what_sliding_does_with_the_other_options(
    m2a: Command, trained: Path, video_set: Path, frames_set: Path
) -> None:
    video = next(video_set.rglob("*.mp4"))
    flags = ("--model", trained, "--sliding", "--window", 0.4, "--step", 0.1, "--json")
    plain, rounded = (json.loads(m2a("predict", video, *flags, *more).out)[0] for more in ((), ("--bf16",)))
    scores = [[window["top"][0]["probability"] for window in found["windows"]] for found in (plain, rounded)]
    assert scores[0] != scores[1]
    assert scores[0] == pytest.approx(scores[1], abs=0.05)
    assert "--num-crops and --workers out" in m2a("predict", video, *flags, "--workers", 2).message
    folder = next((frames_set / "20bn-something-something-v1").iterdir())
    both = json.loads(m2a("predict", video, folder, *flags, "--frame-rate", 5).out)
    assert both[0] == plain  # a video keeps its own times
    assert both[1]["frame_rate"] == 5
    message = m2a("predict", video, frames_set, *flags).message
    assert "does not say how many frames make a second. Give --frame-rate." in message


def test_bench_data(m2a: Command, frames_set: Path, tmp_path: Path) -> None:
    outcome = m2a(
        "bench", "data", frames_set, "--size", 24, "--num-frames", 3, "--repeats", 1, "--batch-size", 4, "--out",
        tmp_path / "speed.json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert "of a bare decoding loop" in " ".join(outcome.out.split())
    speed = json.loads((tmp_path / "speed.json").read_text())
    assert speed["clips"] == 9
    assert len(speed["loader_seconds"]) == len(speed["bare_seconds"]) == len(speed["memory_mib"]) == 1
    shares = [speed[f"{name}_share"] for name in ("decode", "transform", "collate", "device")]
    assert sum(shares) == pytest.approx(1)
    assert min(shares[:3]) > 0
    assert "must all be at least 1" in m2a("bench", "data", frames_set, "--repeats", 0).message


def test_macs_of_a_saved_model_are_at_its_own_size(m2a: Command, trained: Path) -> None:
    model = load(trained)
    found = json.loads(m2a("macs", trained, "--json").out)
    assert (found["num_frames"], found["size"]) == (model.num_frames, model.preprocessing.size)
    none, own = found["rows"]
    assert (none["mechanism"], own["mechanism"]) == ("none", "m2a")
    assert own["macs"] == count_macs(model, num_frames=model.num_frames, size=model.preprocessing.size)
    assert own["parameters"] == count_parameters(model) > none["parameters"]
    mechanisms = sum(p.numel() for name, p in model.named_parameters() if ".mechanism." in name)
    assert own["parameters"] - none["parameters"] == mechanisms
    assert json.loads(m2a("macs", trained / "model", "--size", 64, "--json").out)["rows"][1]["macs"] > own["macs"]
    assert "has its own; leave mechanisms and --reduction out" in m2a("macs", trained, "tsm", "--reduction", 2).message


def test_figures_and_words_are_not_cut_off_on_a_narrow_terminal(
    m2a: Command, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = m2a("macs", trained).out
    monkeypatch.setenv("COLUMNS", "20")
    narrow = m2a("macs", trained).out
    figures = [word for word in wide.split() if "." in word]
    assert len(figures) >= 4
    assert set(figures) <= set(narrow.split())
    said = set(m2a("evaluate", trained, "--device", "cpu").out.split())
    assert {word for label in LABELS for word in label.split()} <= said


def test_macs_and_list(m2a: Command) -> None:
    rows = json.loads(m2a("macs", "resnet18", "none", "m2a", "--json").out)["rows"]
    assert [row["mechanism"] for row in rows] == ["none", "m2a"]
    assert rows[0]["macs"] < rows[1]["macs"] < 1.02 * rows[0]["macs"]
    listed = json.loads(m2a("list", "--json").out)
    assert "m2a-motion" in listed["mechanisms"]
    assert {"tea", "tdn"} < set(listed["motions"])
    assert {"tam", "patch4"} < set(listed["attentions"])
    blind = {name: found for name, found in listed["time_symmetry"].items() if found != "none"}
    assert blind == {"none": "permutation", "m2a-attention": "permutation", "tdn": "reversal"}
    shown = m2a("list").out
    assert shown.count("a clip and its reverse") == 1
    assert shown.count("any order of the frames") == 2


def test_backbones_are_listed_and_checked(m2a: Command, tmp_path: Path) -> None:
    assert json.loads(m2a("list", "backbones", "torchvision/vgg1?", "--json").out) == [
        f"torchvision/vgg{depth}" for depth in (11, 13, 16, 19)
    ]
    outcome = m2a(
        "list", "backbones", "test_re*", "--check", "--every-mechanism", "--out", tmp_path / "new" / "checked.json"
    )
    assert outcome.code == 0, outcome.err
    assert "1 of 1 architectures take m2a" in outcome.out
    checked = json.loads((tmp_path / "new" / "checked.json").read_text())
    assert (checked["architectures"], checked["working"]) == (1, 1)
    assert checked["rows"][0]["first"] == "layer1.0.conv1"
    assert {row["mechanism"] for row in checked["families"]} > {"none", "m2a", "tam", "m2a+tsm"}
    assert "No architecture matches 'nothing*'" in m2a("list", "backbones", "nothing*").message
    assert "are for a check; give --check too" in m2a("list", "backbones", "vgg11", "--every-mechanism").message


def test_synthesize(m2a: Command, tmp_path: Path) -> None:
    arguments = ("data", "synthesize", tmp_path / "set", "--num-train", 4, "--num-validation", 4, "--num-classes", 4)
    first = json.loads(m2a(*arguments, "--size", 24, "--json").out)
    assert f"m2a train --data {tmp_path / 'set'} --recipe scratch --size 64" in m2a(*arguments, "--size", 24).out
    assert first["counts"] == {"train": 4, "validation": 4}
    assert first["ceiling"] == 50.0
    assert json.loads(m2a(*arguments, "--size", 24, "--json").out)["reused"]
    refused = m2a("data", "synthesize", tmp_path / "other", "--edition", 1, "--size", 24)
    assert refused.code == 1
    assert "edition=1 decides size itself" in refused.message


def test_demo(m2a: Command, tmp_path: Path) -> None:
    outcome = m2a(
        "demo", "--out", tmp_path / "demo", "--num-train", 20, "--num-validation", 10, "--epochs", 1, "--json"
    )
    assert outcome.code == 0, outcome.err
    result = json.loads(outcome.out)
    assert [row["name"] for row in result["table"]] == ["none", "m2a", "order-blind ceiling"]
    assert result["table"][-1]["top1"] == 50.0
    assert (tmp_path / "demo" / "report.html").stat().st_size > 10_000
    measured = json.loads((tmp_path / "demo" / "m2a" / "evaluation.json").read_text())
    assert result["table"][1]["top1"] == measured["top1"]


def test_doctor(m2a: Command) -> None:
    outcome = m2a("doctor", "--json")
    assert outcome.code == 0, outcome.out
    assert all(check["ok"] for check in json.loads(outcome.out).values())
    assert "forward and backward on cpu" in json.loads(outcome.out)


def test_doctor_names_a_device_that_cannot_be_used(m2a: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """As torch names GPUs that it has no programs for. None here is the hundredth."""
    doctor = importlib.import_module("m2a.cli.doctor")
    assert set(doctor.devices()) >= {"cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))}
    monkeypatch.setattr(doctor, "devices", lambda: ["cpu", "cuda:99"])
    outcome = m2a("doctor", "--json")
    assert outcome.code == 1
    checks = json.loads(outcome.out)
    assert [name for name, check in checks.items() if not check["ok"]] == ["forward and backward on cuda:99"]
    assert checks["forward and backward on cuda:99"]["says"]


def test_help_lists_the_verbs_and_is_light() -> None:
    code = "import sys; from m2a.cli import main; main(['--help'])"
    program = f"import atexit, sys; atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr)); {code}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert all(verb in done.stdout for verb in VERBS)
    assert done.stderr.strip() == "False"


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "data"])
def test_every_verb_has_help(m2a: Command, verb: str) -> None:
    outcome = m2a(verb, "--help")
    assert outcome.code == 0
    assert "--json" in outcome.out


def test_the_package_runs_as_a_module(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["m2a", "--version"])
    with pytest.raises(SystemExit, match=r"^0$"):
        runpy.run_module("m2a", run_name="__main__")
    assert capsys.readouterr().out.strip() == version("m2a")
