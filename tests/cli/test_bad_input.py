"""What a user can get wrong, with real files: each ends in one message that names the file or option and a way out."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from command import Outcome, tiny

from m2a.cli import main
from m2a.cli.output import print_json
from m2a.data.synthetic import synthesize

Command = Callable[..., Outcome]


def truncate(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def check_message(outcome: Outcome, *parts: object) -> None:
    """One error on stderr, no traceback, every part in it."""
    assert outcome.code == 1, outcome.err + outcome.out
    assert "Traceback" not in outcome.err
    message = outcome.message
    assert "error: " in message
    for part in parts:
        assert str(part) in message, f"{part!r} is not in: {message}"


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (("train", "--data", "clips", "--epochs", "1.5"), "--epochs"),
        (("train", "--data", "clips", "--size", "nan"), "--size"),
        (("paper", "run", "I/m2a", "--seeds", "0", "0.5"), "--seeds"),
        (("data", "synthesize", "clips", "--num-train", "2.5"), "--num-train"),
        (("macs", "resnet18", "--num-frames", "7.9"), "--num-frames"),
    ],
)
def test_fraction_for_a_whole_number_is_not_rounded(m2a: Command, command: tuple[str, ...], option: str) -> None:
    outcome = m2a(*command)
    assert outcome.code != 0
    assert f"Invalid value for {option}: unable to convert" in outcome.message


def test_a_video_whose_name_begins_with_a_bracket(
    m2a: Command, trained: Path, own_videos: Path, tmp_path: Path
) -> None:
    video = shutil.copy(next(own_videos.rglob("*.mp4")), tmp_path / "[Group] clip.mp4")
    outcome = m2a("predict", video, "--model", trained / "model", "--json", "--device", "auto")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)[0]["path"] == str(video)


def test_a_run_that_did_not_finish_is_no_model(m2a: Command, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("data: clips\n")
    for command in (("macs", tmp_path), ("evaluate", tmp_path)):
        outcome = m2a(*command)
        parts = ("did not finish", f"--resume --config {tmp_path / 'config.yaml'} --out {tmp_path}")
        check_message(outcome, *parts)


def test_options_that_are_no_names(m2a: Command, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("backbone_options: {1: 2}\n")
    check_message(m2a("train", "--data", tmp_path, "--config", config), "backbone_options has names", "got 1")


def test_truncated_mp4_to_predict(m2a: Command, trained: Path, own_videos: Path) -> None:
    video = truncate(next(own_videos.rglob("*.mp4")), 0.6)
    check_message(m2a("predict", video, "--model", trained / "model"), video)


def test_text_file_called_mp4(m2a: Command, trained: Path, tmp_path: Path) -> None:
    video = tmp_path / "not.mp4"
    video.write_text("hello")
    outcome = m2a("predict", video, "--model", trained / "model", "--json")
    check_message(outcome, video)
    assert [answer["path"] for answer in json.loads(outcome.out)] == [str(video)]
    assert "not a video" in json.loads(outcome.out)[0]["error"]


def test_json_is_json_where_a_name_holds_what_a_terminal_would_obey(capsys: pytest.CaptureFixture[str]) -> None:
    content = {"a\x1b[31m\x7f": "\x9b31m\u3042"}
    print_json(content)
    said = capsys.readouterr().out
    assert json.loads(said) == content
    assert not set(said) & set("\x1b\x7f\x9b")


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_json_of_names_that_stdout_cannot_print(encoding: str) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")
    with contextlib.redirect_stdout(out):
        print_json(["caf\udce9", "caf\xe9"])
    out.seek(0)
    assert json.load(out) == ["caf\udce9", "caf\xe9"]


def test_truncated_mp4_in_training_is_named_and_left_out(m2a: Command, own_videos: Path, tmp_path: Path) -> None:
    bad = truncate(next((own_videos / "train").rglob("*.mp4")), 0.6)
    outcome = m2a("train", "--data", own_videos, "--out", tmp_path / "run", *tiny(), "--json")
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)
    assert (found["skipped"], found["skipped_training"]) == (0, 1)
    assert "1 clip could not be decoded" in outcome.message
    assert outcome.err.count(str(bad)) == 1


def test_truncated_mp4_in_validation_stops_unless_skipped(m2a: Command, own_videos: Path, tmp_path: Path) -> None:
    bad = truncate(next((own_videos / "validation").rglob("*.mp4")), 0.6)
    stopped = m2a("train", "--data", own_videos, "--out", tmp_path / "run", *tiny())
    check_message(stopped, bad, "--skip-bad")
    went_on = m2a("train", "--data", own_videos, "--out", tmp_path / "run2", *tiny(), "--skip-bad")
    assert went_on.code == 0, went_on.err
    evaluation = json.loads((tmp_path / "run2" / "evaluation.json").read_text())
    assert [Path(entry["path"]) for entry in evaluation["skipped"]] == [bad]
    assert evaluation["num_clips"] == 5
    evaluated = m2a(
        "evaluate", tmp_path / "run2" / "model", "--data", own_videos, "--out", tmp_path / "e", "--workers", 0
    )
    check_message(evaluated, bad, "--skip-bad")


def test_empty_folder(m2a: Command, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    check_message(m2a("train", "--data", tmp_path / "empty", *tiny()), tmp_path / "empty")
    check_message(m2a("predict", tmp_path / "empty", "--model", trained / "model"), tmp_path / "empty")


def test_data_that_is_not_there(m2a: Command, tmp_path: Path) -> None:
    check_message(m2a("train", "--data", tmp_path / "nowhere", *tiny()), tmp_path / "nowhere")


def test_csv_naming_missing_clips(m2a: Command, own_frames: Path, tmp_path: Path) -> None:
    gone = next((own_frames / "20bn-something-something-v1").iterdir())
    shutil.rmtree(gone)
    check_message(m2a("train", "--data", own_frames, *tiny()), gone.name, "missing")
    outcome = m2a("train", "--data", own_frames, "--out", tmp_path / "run", *tiny(), "--missing", "skip")
    assert outcome.code == 0, outcome.err
    assert gone.name in outcome.message


def test_label_not_in_the_list(m2a: Command, own_frames: Path) -> None:
    train = own_frames / "something-something-v1-train.csv"
    train.write_text(train.read_text().replace("Moving something up", "Moving something upp"))
    check_message(
        m2a("train", "--data", own_frames, *tiny()), "Moving something upp", "Moving something up", train.name
    )


def test_corrupt_jpeg(m2a: Command, trained: Path, own_frames: Path) -> None:
    clip = next((own_frames / "20bn-something-something-v1").iterdir())
    for frame in clip.iterdir():
        truncate(frame, 0.5)
    check_message(m2a("predict", clip, "--model", trained / "model"), f"{clip}: the frame 0000")


def test_video_shorter_than_eight_frames_repeats_frames(m2a: Command, trained: Path, tmp_path: Path) -> None:
    synthesize(
        tmp_path / "short", layout="class-folders", num_train=2, num_validation=2, num_frames=3, size=32,
        classes=("Moving something up", "Moving something down"), progress=False, workers=1,
    )  # fmt: skip
    outcome = m2a("predict", next((tmp_path / "short").rglob("*.mp4")), "--model", trained / "model")
    assert outcome.code == 0, outcome.err


def test_resuming_with_another_mechanism(m2a: Command, trained: Path, video_set: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    outcome = m2a("train", "--data", video_set, "--out", run, *tiny(mechanism="tsm"), "--resume")
    check_message(outcome, "last.ckpt", "mechanism", "'m2a'", "'tsm'", "--out")


def test_image_weights_with_another_mechanism_inside(
    m2a: Command, trained: Path, video_set: Path, tmp_path: Path
) -> None:
    weights = trained / "model" / "model.safetensors"
    outcome = m2a("train", "--data", video_set, "--out", tmp_path / "r", *tiny(pretrained=weights))
    check_message(outcome, weights)


def test_config_of_another_mechanism_beside_the_weights(
    m2a: Command, trained: Path, video_set: Path, tmp_path: Path
) -> None:
    model = shutil.copytree(trained / "model", tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    config["model"]["mechanism"] = "tsm"
    (model / "config.json").write_text(json.dumps(config))
    video = next(video_set.rglob("*.mp4"))
    check_message(m2a("predict", video, "--model", model), model / "model.safetensors", "mechanism")


def test_folder_in_use(m2a: Command, trained: Path, video_set: Path) -> None:
    before = sorted(trained.rglob("*"))
    outcome = m2a("train", "--data", video_set, "--out", trained, *tiny())
    check_message(outcome, trained, "--out", "--resume")
    assert sorted(trained.rglob("*")) == before


@pytest.mark.parametrize(
    ("command", "out", "remedy"),
    [
        (("data", "check", "."), "runs/check-videos", "name one with --out."),
        (("train", "--data", ".", *tiny()), "runs/videos-", "name one with --out."),
        (("data", "shard", ".", "sh"), "sh", "name one as the second argument, OUT."),
        (
            ("train", "--data", ".", "--out", "../run", *tiny(cache="disk", cache_folder="kept")),
            "kept",
            "name one with --cache-folder.",
        ),
        (("evaluate", "MODEL", "--data", ".", "--out", "results/a"), "results/a", "name another with --out."),
    ],
)
def test_results_among_the_class_folders(
    m2a: Command,
    own_videos: Path,
    trained: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[object, ...],
    out: str,
    remedy: str,
) -> None:
    monkeypatch.chdir(own_videos)
    before = sorted(own_videos.rglob("*"))
    outcome = m2a(*(trained / "model" if word == "MODEL" else word for word in command))
    assert outcome.code == 1
    assert f"{out}" in outcome.message
    assert "lies in the data set, where it would be taken for a class. Start m2a from another" in outcome.message
    assert remedy in outcome.message
    assert sorted(own_videos.rglob("*")) == before


def test_nothing_to_resume(m2a: Command, video_set: Path, tmp_path: Path) -> None:
    check_message(m2a("train", "--data", video_set, "--out", tmp_path / "new", *tiny(), "--resume"), "last.ckpt")


def test_a_moved_run_is_not_resumed_where_it_was_before(m2a: Command, trained: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved run"
    shutil.copytree(trained, moved)
    resume = ("train", "--config", moved / "config.yaml", "--resume")
    check_message(m2a(*resume), f"a run lies beside it in {moved}. To go on with that one add --out '{moved}'")
    assert "a run lies beside it" not in m2a(*resume, "--out", moved, "--epochs", 0).message


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"mechanism": "moton"}, ["moton", "Did you mean"]),
        ({"mechanism": "tsm", "mechanism_options.boundary": "zero"}, ["boundary", "shift_div"]),
        ({"backbone": "resnet1"}, ["resnet1", "timm"]),
        ({"num_frames": 1}, ["num_frames", "at least 2"]),
        ({"lr": 0}, ["lr", "above 0"]),
        ({"backbone_options.channnels": "[8, 8, 8, 8]"}, ["channnels"]),
        ({"config": "nowhere.yaml"}, ["nowhere.yaml"]),
        ({"pretrained": "nowhere.pth"}, ["nowhere.pth"]),
    ],
)
def test_options_that_cannot_work(
    m2a: Command, video_set: Path, tmp_path: Path, changes: dict[str, object], parts: list[str]
) -> None:
    out = tmp_path / "run"
    check_message(m2a("train", "--data", video_set, "--out", out, *tiny(**changes)), *parts)
    assert not out.exists()


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("mechanism: null", ["mechanism must be text; got None"]),
        ("pretrained: no", ["pretrained must be text; got False"]),
        ("epochs: 1.5", ["epochs must be a whole number; got 1.5"]),
        ("1: 2", ["has no option 1."]),
    ],
)
def test_a_config_means_on_the_command_line_what_it_means_in_python(
    m2a: Command, video_set: Path, tmp_path: Path, line: str, parts: list[str]
) -> None:
    (tmp_path / "config.yaml").write_text(f"{line}\n", encoding="utf-8")
    outcome = m2a("train", "--data", video_set, "--out", tmp_path / "run", "--config", tmp_path / "config.yaml")
    check_message(outcome, *parts)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "words",
    [("train", "--data", "d", "--config"), ("train", "--data", "d", "--recipe"), ("paper", "run", "I/m2a", "--scale")],
)
def test_a_flag_without_its_value(m2a: Command, words: tuple[str, ...]) -> None:
    outcome = m2a(*words)
    assert outcome.code == 2
    assert f"parameter {words[-1]} requires an argument." in outcome.message


def test_a_name_that_is_not_utf8_is_printed(tmp_path: Path) -> None:
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with contextlib.redirect_stderr(err), pytest.raises(SystemExit):
        main(["data", "check", os.fsdecode(bytes(tmp_path) + b"/caf\xe9")])
    err.seek(0)
    assert r"caf\udce9 does not exist" in err.read()


@pytest.mark.parametrize("verb", ["predict", "evaluate", "explain", "serve", "bench"])
def test_a_device_that_is_not_there(m2a: Command, trained: Path, video_set: Path, tmp_path: Path, verb: str) -> None:
    model = trained / "model"
    arguments = {
        "predict": (next(video_set.rglob("*.mp4")), "--model", model),
        "evaluate": (model, "--data", video_set, "--out", tmp_path / "out"),
        "explain": (next(video_set.rglob("*.mp4")), "--model", model, "--out", tmp_path / "a.png"),
        "serve": ("--model", model),
        "bench": ("data", video_set, "--repeats", 1),
    }[verb]
    wrong = ["gpu", "cuda:77" if torch.cuda.is_available() else "cuda"]
    for device in wrong:
        outcome = m2a(verb, *arguments, "--device", device)
        check_message(outcome, f"device='{device}' cannot be used", "This machine has cpu", "--device")


def test_videos_and_models_that_are_not_there(m2a: Command, trained: Path, video_set: Path, tmp_path: Path) -> None:
    video = next(video_set.rglob("*.mp4"))
    check_message(m2a("predict", tmp_path / "no.mp4", "--model", trained / "model"), tmp_path / "no.mp4")
    check_message(m2a("predict", video, "--model", tmp_path / "no"), tmp_path / "no", "RUN/model")
    check_message(m2a("evaluate", trained / "model", "--out", tmp_path / "out"), "--data")
    check_message(m2a("predict", "--model", trained / "model"), "Name at least one")


def test_values_that_no_option_takes(m2a: Command) -> None:
    outcome = m2a("explain", "a.mp4", "--model", "runs/none", "runs/m2a")
    assert outcome.code == 2
    assert "If runs/m2a is another value of --model, give the option again: --model runs/m2a." in outcome.message
    for words in (("tsm",), ("--json", "tsm")):
        outcome = m2a("list", "mechanisms", *words)
        assert (outcome.code, "another value" in outcome.message) == (2, False)
        assert "tsm" in outcome.message


def test_places_that_cannot_be_written(m2a: Command, trained: Path, video_set: Path, tmp_path: Path) -> None:
    file = tmp_path / "afile"
    file.touch()
    cannot = f"cannot be written: {file} is not a folder"
    check_message(m2a("data", "stats", video_set, "--out", file / "x.html"), file / "x.html", cannot, "--out")
    evaluated = m2a("evaluate", trained / "model", "--data", video_set, "--out", file / "a" / "b", "--workers", 0)
    check_message(evaluated, file / "a" / "b", cannot, "--out")
    assert "evaluating" not in evaluated.err


def test_a_run_whose_results_cannot_be_replaced(m2a: Command, trained: Path, tmp_path: Path) -> None:
    """Told before the evaluation, not after it."""
    run = shutil.copytree(trained, tmp_path / "run")
    (run / "predictions.csv").unlink()
    (run / "predictions.csv").mkdir()
    before = (run / "evaluation.json").read_bytes()
    evaluated = m2a("evaluate", run, "--workers", 0)
    check_message(evaluated, f"{run / 'predictions.csv'} is a folder. Name another one for the results with --out.")
    assert (run / "evaluation.json").read_bytes() == before


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), ["error: No space left on device. Name a place with room"]),
        (OSError(errno.EROFS, "Read-only", "a.html"), ["a.html: Read-only. Name a place where you may read and write"]),
        (
            OSError(errno.ENOENT, "No such file", "Z:/a"),
            ["Z:/a: No such file. Name a place where you may read and write"],
        ),
        (OSError(errno.ENAMETOOLONG, "Too long", "a" * 300), ["aaa: Too long. Name a place where you may read"]),
    ],
)
def test_what_the_system_refuses(
    m2a: Command, monkeypatch: pytest.MonkeyPatch, error: OSError, parts: list[str]
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(sys.modules["m2a.cli.main"], "app", refused)  # m2a.cli.main is the function, too
    check_message(m2a("doctor"), *parts)
