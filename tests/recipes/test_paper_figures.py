"""`m2a paper figure`: pictures of results, and refusals that say what to run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from made_results import DATA, made, put

from m2a import create_model
from m2a.cli.paper_figure import figure
from m2a.data.synthetic import synthesize
from m2a.errors import ConfigError, DataError, NotFoundError
from m2a.recipes.class_gains import ClassGains
from m2a.reporting.class_bars import described
from m2a.workflows.paper_figures import seeds_of_gains

LABELS = ("Moving something up", "Moving something down")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    synthesize(tmp_path / "set", num_train=2, num_validation=2, classes=LABELS, size=32, num_frames=9, progress=False)
    return tmp_path / "set" / "20bn-something-something-v1" / "1"


def save_run(folder: Path, mechanism: str) -> None:
    model = create_model(
        "resnet10t", mechanism=mechanism, num_classes=2, labels=LABELS, num_frames=2, reduction=2, size=16,
        backbone_options={"channels": [8, 8, 8, 8]},
    )  # fmt: skip
    model.save_pretrained(folder / "model")


@pytest.mark.usefixtures("as_users_run_it")
def test_figure_4_shows_three_models_of_one_seed(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of them was run for Table IV, and its folder lies there."""
    places = {"results": tmp_path / "results", "runs": tmp_path / "runs", "out": tmp_path / "figures"}
    for recipe, seeds in (("I/m2a-attention", (0, 1)), ("I/m2a-motion", (1, 2)), ("IV/m2a", (1,))):
        for seed in seeds:
            put(places["results"], made(recipe, seed=seed, run=f"{recipe.partition('/')[2]}-{seed}"))
    with pytest.raises(NotFoundError, match=r"m2a-attention-1 holds no model\. Name .* with --runs"):
        figure("4", clip=clip, **places)
    for table, mechanism in (("I", "m2a-attention"), ("I", "m2a-motion"), ("IV", "m2a")):
        save_run(places["runs"] / table / f"{mechanism}-1", mechanism)
    figure("4", clip=clip, **places)
    picture = places["out"] / "figure-4-tiny-synthetic-scratch-1.png"
    assert capsys.readouterr().out.strip() == str(picture)
    assert [path.name for path in places["out"].iterdir()] == [picture.name]


def test_figure_5_shows_what_m2a_gains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for mechanism, top1 in (("m2a", 60.0), ("tam", 50.0), ("tea", 55.0)):
        for seed in (0, 1):
            put(tmp_path, made(f"V/{mechanism}", seed=seed, per_class=dict.fromkeys(LABELS, top1 + seed)))
    figure("5", results=tmp_path, out=tmp_path / "figures")
    picture = tmp_path / "figures" / "figure-5-tiny-synthetic-scratch.png"
    assert capsys.readouterr().out.strip() == str(picture)
    before = described(picture)
    put(tmp_path, made("V/m2a", per_class=dict.fromkeys(LABELS, 99.0)))
    figure("5", results=tmp_path, out=tmp_path / "figures")
    assert described(picture) != before


def test_two_pictures_of_one_name_are_refused(tmp_path: Path) -> None:
    for mechanism, size in (("m2a", 32), ("tam", 32), ("tea", 48)):
        put(tmp_path, made(f"V/{mechanism}", config={"size": size}))
    with pytest.raises(DataError, match="Results of Table V, tiny-synthetic-scratch were made with other settings"):
        figure("5", results=tmp_path, out=tmp_path / "figures")


def test_figure_5_says_which_seeds_a_rival_has_not() -> None:
    of = {rival: ClassGains(rival=rival, seeds=seeds, gains={}) for rival, seeds in (("tam", (0, 1)), ("tdn", (1,)))}
    assert seeds_of_gains([of["tam"], of["tdn"]]) == "seeds 0, 1 (tdn: seed 1)"
    assert seeds_of_gains([of["tdn"]]) == "seed 1"


def test_a_figure_of_one_data_set_alone(tmp_path: Path) -> None:
    other = replace(DATA, name="mine")
    for mechanism in ("m2a", "tam"):
        for data in (DATA, other):
            put(tmp_path, made(f"V/{mechanism}", data=data, per_class=dict.fromkeys(LABELS, 50.0)))
    figure("5", results=tmp_path, out=tmp_path / "figures", data="mine")
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["figure-5-tiny-mine-scratch.png"]
    with pytest.raises(NotFoundError, match="no results of Table V on 'yours', but on mine, synthetic"):
        figure("5", results=tmp_path, out=tmp_path, data="yours")


def test_what_a_figure_needs_is_said(tmp_path: Path) -> None:
    put(tmp_path, made("I/m2a", data=DATA))
    with pytest.raises(NotFoundError, match="no results of V/m2a and one of V/tam, V/tdn, V/tea with one seed"):
        figure("5", results=tmp_path, out=tmp_path)
    with pytest.raises(NotFoundError, match="no results of I/m2a-attention, I/m2a-motion and I/m2a with one seed"):
        figure("4", results=tmp_path, clip=tmp_path, out=tmp_path)
    with pytest.raises(ConfigError, match="Figure 4 is about one clip, which --clip names"):
        figure("4", results=tmp_path)
