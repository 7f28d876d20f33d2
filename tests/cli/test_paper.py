"""`m2a paper`: rows listed, run for real at the tiny scale, shown in tables, counted."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from command import Outcome, run_command, tiny
from rich.console import Console

from m2a.errors import ConfigError, DataError
from m2a.recipes import paper_recipe
from m2a.workflows import paper_data

Command = Callable[..., Outcome]
TINY = ("--data", "synthetic", "--scale", "tiny", "--device", "cpu")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A folder with results of one row on two seeds, and what the command said. Not to be changed."""
    folder = tmp_path_factory.mktemp("paper")
    outcome = run_command(
        "paper", "run", "I/m2a", *TINY, "--seeds", 0, 1, "--out", folder / "runs", "--results", folder / "results",
        "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    return folder, outcome


def error(outcome: Outcome, *parts: object) -> None:
    assert outcome.code == 1, outcome.out + outcome.err
    assert "Traceback" not in outcome.err
    for part in parts:
        assert str(part) in outcome.message, f"{part!r} is not in: {outcome.message}"


def test_list(m2a: Command) -> None:
    outcome = m2a("paper", "list", "--table", "III", "--json")
    rows = json.loads(outcome.out)
    assert [row["recipe"] for row in rows] == ["III/none", "III/m2a-attention", "III/m2a-motion", "III/m2a"]
    assert rows[3] == {
        "recipe": "III/m2a", "mechanism": "m2a", "backbone": "resnet18", "inflate": True,
        "paper": {"gmacs": 22.67, "top1": 27.1, "top5": 53.5},
    }  # fmt: skip
    text = m2a("paper", "list").out
    assert "VI/tdn:tam" in text
    assert "--scale small" in text


def test_help_names_the_verbs(m2a: Command) -> None:
    assert all(verb in m2a("paper", "--help").out for verb in ("list", "run", "table", "figure", "macs"))
    for verb in ("list", "run", "table", "macs"):
        outcome = m2a("paper", verb, "--help")
        assert outcome.code == 0
        assert "--json" in outcome.out
    assert "--command" not in m2a("paper", "run", "--help").out


def test_two_seeds_leave_two_results(ran: tuple[Path, Outcome]) -> None:
    folder, outcome = ran
    files = sorted(path.name for path in (folder / "results" / "I").iterdir())
    assert files == [f"m2a-tiny-synthetic-scratch-seed{seed}.json" for seed in (0, 1)]
    printed = json.loads(outcome.out)
    assert printed["failures"] == {}
    for seed, entry in enumerate(printed["results"]):
        result: dict[str, Any] = json.loads(Path(entry.pop("file")).read_text())
        assert entry == result
        assert (result["recipe"], result["table"], result["seed"]) == ("I/m2a", "I", seed)
        run = folder / "runs" / "I" / result["run"]
        evaluation = json.loads((run / "evaluation.json").read_text())
        for name in ("top1", "top5", "macs", "parameters", "num_clips", "skipped", "versions", "hardware"):
            assert result[name] == evaluation[name], name
        assert result["per_class"] == {row["label"]: row["top1"] for row in evaluation["per_class"]}
        for row in evaluation["probes"]["rows"][1:]:
            assert result["probes"][row["probe"]] == {"top1": row["top1"], "top5": row["top5"]}
        assert list(result["probes"]) == ["shuffled", "reversed", "still"]
        names = {"data": "synthetic", "out": result["run"]}
        assert result["config"] == yaml.safe_load((run / "config.yaml").read_text()) | names
        assert result["changes"] == {}
        assert result["weights"] == {"kind": "random", "file": None, "sha256": None}
        assert result["num_train"] == 12
        assert result["best_epoch"] == 1
        assert result["data"]["clips"] == {"train": 12, "validation": 6}
        assert (result["data"]["drawing"]["generator"], result["data"]["drawing"]["size"]) == (1, 32)
        assert result["command"].startswith("m2a paper run I/m2a --data synthetic --scale tiny")
        assert 0 < result["seconds"] < 600
        assert {"commit", "versions", "hardware"} <= set(result)
    assert [path.name for path in (folder / "runs" / "data").iterdir()] == ["synthetic-tiny"]


def test_a_run_that_went_on_took_the_time_of_its_earlier_epochs_too(
    m2a: Command, ran: tuple[Path, Outcome], tmp_path: Path
) -> None:
    shutil.copytree(ran[0] / "runs", tmp_path / "runs")
    (table,) = (tmp_path / "runs" / "I").glob("*seed0/metrics.csv")
    head, row = table.read_text(encoding="utf-8").splitlines()
    table.write_text("\n".join((head, f"{row.rpartition(',')[0]},7000", "")), encoding="utf-8")
    flags = ("--out", tmp_path / "runs", "--results", tmp_path / "results", "--json")
    outcome = m2a("paper", "run", "I/m2a", *TINY, "--resume", *flags)
    assert outcome.code == 0, outcome.err
    assert 7000 < json.loads(outcome.out)["results"][0]["seconds"] < 7600


def test_a_result_says_nothing_of_where_things_lay(ran: tuple[Path, Outcome]) -> None:
    for path in (ran[0] / "results" / "I").iterdir():
        text = path.read_text()
        assert [place for place in (str(ran[0]), str(Path.cwd()), str(Path.home())) if place in text] == []
        assert [value for value in strings_of(json.loads(text)) if value.startswith(("/", "~"))] == []


def strings_of(value: Any) -> list[str]:
    """Every text in a JSON value, keys too; of a command line every word."""
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in strings_of(part)]
    if isinstance(value, list):
        return [text for inner in value for text in strings_of(inner)]
    return [part for word in value.split() for part in word.split("=")] if isinstance(value, str) else []


def test_the_table_shows_them(m2a: Command, ran: tuple[Path, Outcome]) -> None:
    results = ran[0] / "results"
    top1 = [json.loads(path.read_text())["top1"] for path in sorted((results / "I").iterdir())]
    (group,) = json.loads(m2a("paper", "table", "I", "--results", results, "--json").out)["groups"]
    measured = {row["mechanism"]: row["measured"] for row in group["rows"]}
    assert measured["m2a"]["top1"] == pytest.approx(sum(top1) / 2)
    assert measured["m2a"]["top1_half_width"] == pytest.approx(12.706 * abs(top1[0] - top1[1]) / 2, rel=1e-3)
    assert measured["m2a"]["seeds"] == [0, 1]
    assert [name for name, row in measured.items() if row is None] == ["none", "m2a-attention", "m2a-motion"]
    text = m2a("paper", "table", "I", "--results", results).out
    assert f"{sum(top1) / 2:.1f} ±" in text
    assert "scale tiny" in text
    assert "Blind to the order of frames, 50.0%" in text
    assert (
        "| m2a | 14.81 | 34.7 | 63.4 |" in m2a("paper", "table", "I", "--results", results, "--format", "markdown").out
    )


def test_a_table_of_other_models_is_the_papers_alone(m2a: Command, ran: tuple[Path, Outcome]) -> None:
    assert "no results yet" in m2a("paper", "table", "II", "--results", ran[0] / "results").out


def test_the_same_model_is_not_trained_for_another_table(m2a: Command, ran: tuple[Path, Outcome]) -> None:
    """What a run left is found to be of the settings that are asked for, and stands in the other table."""
    folder, outcome = ran
    files = [(entry["file"], entry["top1"]) for entry in json.loads(outcome.out)["results"]]
    places = ("--out", folder / "runs", "--results", folder / "results")
    other = m2a("paper", "run", "IV/m2a", *TINY, "--seeds", 0, 1, "--workers", 0, *places, "--json")
    assert other.code == 0, other.err
    printed = json.loads(other.out)
    assert printed["failures"] == {}
    assert [(entry["file"], entry["top1"]) for entry in printed["results"]] == files
    assert {(entry["recipe"], entry["origin"]) for entry in printed["results"]} == {("IV/m2a", "I/m2a")}
    said = f"IV/m2a is not trained again: I/m2a is the same model, and its result is {files[1][0]}"
    assert said in other.message
    assert sorted(path.name for path in (folder / "runs").iterdir()) == ["I", "data"]
    assert not (folder / "results" / "IV").exists()
    assert "m2a: run as I/m2a." in " ".join(m2a("paper", "table", "IV", "--results", folder / "results").out.split())


def test_a_result_is_not_replaced_unasked_and_nothing_is_trained(m2a: Command, ran: tuple[Path, Outcome]) -> None:
    folder = ran[0]
    places = ("--out", folder / "elsewhere", "--results", folder / "results")
    error(m2a("paper", "run", "I/m2a", *TINY, *places), "There is a result already", "--overwrite")
    assert not (folder / "elsewhere").exists()


def test_changed_options_are_recorded_and_stand_apart(m2a: Command, ran: tuple[Path, Outcome], tmp_path: Path) -> None:
    results = tmp_path / "results"
    (results / "I").mkdir(parents=True)
    for path in (ran[0] / "results" / "I").iterdir():
        (results / "I" / path.name).write_text(path.read_text())
    changed = ("--num-frames", 4, "--mechanism-options.boundary", "zero", "--workers", 0, "--train-clips-per-class", 1)
    thin = ("--backbone-options.channels", "[8, 8, 16, 16]")
    arguments = ("paper", "run", "I/m2a", *TINY, *changed, *thin, "--out", ran[0] / "runs", "--results", results)
    outcome = m2a(*arguments, "--json")
    assert outcome.code == 0, outcome.err
    (result,) = json.loads(outcome.out)["results"]
    changes = {"num_frames": 4, "mechanism_options": {"boundary": "zero"}, "train_clips_per_class": 1}
    changes["backbone_options"] = {"channels": [8, 8, 16, 16], "zero_init_last": False}  # of the recipe
    assert result["changes"] == changes
    assert (result["num_train"], result["data"]["clips"]["train"]) == (6, 12)
    assert "the first 1 clips of each class of train: 6 of 12" in outcome.err
    assert "-changed-" in result["file"]
    groups = json.loads(m2a("paper", "table", "I", "--results", results, "--json").out)["groups"]
    assert [(group["changes"], len(group["rows"][3]["measured"]["seeds"])) for group in groups] == [
        ({}, 2),
        (changes, 1),
    ]
    again = m2a(*arguments, "--overwrite")
    assert again.code == 0, again.err
    assert (ran[0] / "runs" / "I" / (result["run"] + "-2")).is_dir()
    replaced = json.loads(Path(result["file"]).read_text())
    assert (replaced["run"], replaced["top1"]) == (result["run"] + "-2", result["top1"])


def test_a_set_of_ones_own_and_a_row_that_fails(m2a: Command, video_set: Path, tmp_path: Path) -> None:
    """The second row goes on after the first, whose result is there already."""
    results = tmp_path / "results"
    (results / "II").mkdir(parents=True)
    (results / "II" / "none-tiny-videos-scratch-seed0.json").write_text("kept")
    outcome = m2a(
        "paper", "run", "II/none", "II/m2a", "--data", video_set, "--scale", "tiny", "--device", "cpu",
        "--out", tmp_path / "runs", "--results", results,
    )  # fmt: skip
    error(outcome, "1 of 2 runs failed", "II/none, seed 0: There is a result already")
    assert (results / "II" / "none-tiny-videos-scratch-seed0.json").read_text() == "kept"
    result = json.loads((results / "II" / "m2a-tiny-videos-scratch-seed0.json").read_text())
    assert (result["backbone"], result["data"]["name"], result["data"]["classes"]) == ("mobilenetv2_100", "videos", 3)
    assert result["data"]["drawing"]["layout"] == "class-folders"  # a drawn set says so itself
    assert "II/m2a" in outcome.out


def test_an_edition_is_drawn_below_the_runs_and_known_wherever_it_lies(
    ran: tuple[Path, Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawing all of it takes minutes: a stand-in is asked for it."""
    asked: list[tuple[Path, dict[str, Any]]] = []

    def draw_edition(root: Path, *, progress: bool, **arguments: Any) -> None:
        asked.append((root, arguments))
        shutil.copytree(ran[0] / "runs" / "data" / "synthetic-tiny", root)
        record = json.loads((root / "synthetic.json").read_text())
        (root / "synthetic.json").write_text(json.dumps({"edition": 1, **record}))

    monkeypatch.setattr(paper_data, "synthesize", draw_edition)
    console = Console(quiet=True)
    for scale in ("tiny", "small"):
        recipe = paper_recipe("I/none", data="edition-1", scale=scale)
        config, drawn = paper_data.with_data(recipe, scale, tmp_path / scale, console)
        assert config.data == tmp_path / scale / "data" / "edition-1"
        assert (drawn.name, (drawn.drawing or {})["edition"]) == ("edition-1", 1)
    assert asked == [(tmp_path / scale / "data" / "edition-1", {"edition": 1}) for scale in ("tiny", "small")]
    moved = config.data.rename(tmp_path / "elsewhere")
    assert paper_data.data_name(moved) == "edition-1"
    assert paper_data.with_data(config.with_changes(data=moved), "tiny", tmp_path, console)[1] == drawn
    assert len(asked) == 2
    for broken, message in (("{", "is not readable as JSON"), ("[]", "is not what m2a data synthesize writes")):
        (moved / "synthetic.json").write_text(broken)
        with pytest.raises(DataError, match=message):
            paper_data.data_name(moved)


def test_a_folder_that_is_called_as_drawn_clips_are_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    console = Console(quiet=True)
    for name in ("synthetic", "edition-1"):
        Path(name).mkdir()
        config = paper_recipe("I/none", data=f"./{name}", scale="tiny")
        with pytest.raises(ConfigError, match=f"there is a folder {name} here.*absolute path, {tmp_path / name};"):
            paper_data.with_data(config, "tiny", tmp_path, console)


def test_a_synthetic_set_of_other_settings_is_refused(m2a: Command, tmp_path: Path) -> None:
    drawn = m2a("data", "synthesize", tmp_path / "data" / "synthetic-tiny", "--num-train", 4, "--num-validation", 4,
                "--num-classes", 4, "--size", 24)  # fmt: skip
    assert drawn.code == 0, drawn.err
    outcome = m2a("paper", "run", "I/none", *TINY, "--out", tmp_path, "--results", tmp_path / "results")
    error(outcome, "synthetic-tiny", "other parameters")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("run", "I/m2b", *TINY), ["no row 'I/m2b'", "Did you mean I/m2a"]),
        (("run", "VII", *TINY), ["no row 'VII'", "m2a paper list"]),
        (("run", *TINY), ["Name at least one"]),
        (("run", "I/m2a", *TINY, "--mechanism", "tsm"), ["--mechanism cannot be changed in a row of the paper"]),
        (("run", "I/m2a", *TINY, "--backbone=resnet50"), ["--backbone cannot be changed"]),
        (("run", "I/m2a", *TINY, "--no-inflate"), ["--inflate cannot be changed"]),
        (("run", "I/m2a", *TINY, "--seed", 5, "--seeds", 0, 1), ["--seed 5 is not among --seeds 0 1"]),
        (("run", "I/m2a", *TINY, "--epochs", 0), ["epochs must be at least 1"]),
        (("run", "I/m2a", "--data", "nowhere", "--scale", "tiny"), ["nowhere does not exist"]),
        (("run", "I/m2a", *TINY, "--resume"), ["nothing to resume"]),
        (("run", "I/m2a", *TINY, "--pretrained", "nowhere.pth"), ["There is no checkpoint nowhere.pth"]),
        (("table", "VII"), ["no Table 'VII'"]),
        (("table", "I", "--results", "nowhere"), ["There is no folder nowhere"]),
        (("list", "--table", "0"), ["no Table '0'"]),
        (("macs", "VII"), ["no Table 'VII'"]),
    ],
)
def test_what_can_be_got_wrong(
    m2a: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[object, ...], parts: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    error(m2a("paper", *arguments), *parts)
    assert not (tmp_path / "paper").exists()


def test_a_scale_that_is_not_there(m2a: Command) -> None:
    outcome = m2a("paper", "run", "I/m2a", "--data", "synthetic", "--scale", "huge")
    assert outcome.code == 2
    assert all(word in outcome.message for word in ('"huge"', '"paper"', '"small"', '"tiny"'))


def test_a_broken_result_is_named(m2a: Command, tmp_path: Path) -> None:
    (tmp_path / "I").mkdir()
    (tmp_path / "I" / "bad.json").write_text('{"schema": 1, "recipe"')
    error(m2a("paper", "table", "I", "--results", tmp_path), tmp_path / "I" / "bad.json", "run the row again")


def test_image_weights_from_a_file_are_an_axis_of_their_own(
    m2a: Command, ran: tuple[Path, Outcome], tmp_path: Path
) -> None:
    """In float16, as a small file holds them; they are float32 in the model, and no change of the recipe."""
    import safetensors.torch
    import timm
    import torch

    from m2a.models import load

    weights = tmp_path / "image.safetensors"
    state = timm.create_model("resnet18").state_dict()
    safetensors.torch.save_file({key: value.half() for key, value in state.items()}, weights)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "synthetic-tiny").symlink_to(ran[0] / "runs" / "data" / "synthetic-tiny")
    outcome = m2a(
        "paper", "run", "I/none", *TINY, "--pretrained", weights, "--lr", 1e-12, "--out", tmp_path,
        "--results", tmp_path, "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    (result,) = json.loads(outcome.out)["results"]
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:12]
    assert result["weights"] == {"kind": "imagenet", "file": "image.safetensors", "sha256": digest}
    assert result["changes"] == {"lr": 1e-12}
    assert (result["config"]["pretrained"], result["config"]["backbone_options"]) == ("image.safetensors", {})
    assert "--pretrained image.safetensors --lr" in result["command"]
    assert "/none-tiny-synthetic-imagenet-seed0-changed-" in result["file"]
    trained = load(tmp_path / "I" / result["run"] / "model").backbone.state_dict()
    assert {tensor.dtype for tensor in trained.values() if tensor.is_floating_point()} == {torch.float32}
    torch.testing.assert_close(trained["layer4.1.conv2.weight"], state["layer4.1.conv2.weight"].half().float())


def test_macs(m2a: Command) -> None:
    rows = json.loads(m2a("paper", "macs", "V", "--json").out)
    assert [row["recipe"] for row in rows] == ["V/m2a+tsm", "V/tsm", "V/m2a", "V/tea", "V/tdn", "V/tam"]
    assert all(row["agrees"] for row in rows)
    outcome = m2a("paper", "macs", "II")
    assert outcome.code == 0
    assert "2.4251" in outcome.out
    assert "normalisation, activations and pooling" in " ".join(outcome.out.split())


def test_a_row_that_is_off_ends_with_1(m2a: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("m2a.recipes.costs.count_macs", lambda model, size: 2_400_500_000)
    outcome = m2a("paper", "macs", "II")
    error(outcome, "Off the released code by more than 0.1%: II/none, II/m2a-attention, II/m2a-motion, II/m2a")
    assert "+0.12" in outcome.out


def test_flags_of_train_still_come_from_its_own_recipe(m2a: Command, video_set: Path, tmp_path: Path) -> None:
    """The recipes of m2a paper do not leak into m2a train."""
    outcome = m2a("train", "--data", video_set, "--out", tmp_path / "run", *tiny())
    assert outcome.code == 0, outcome.err
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["decay_all"] is False
