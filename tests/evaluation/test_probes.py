"""Probes in time: what they do to a clip, and what they say of a model that sees order and of one that does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from m2a.data import ClipFile, ClipSet, read_clips
from m2a.data.synthetic import synthesize
from m2a.errors import ConfigError
from m2a.evaluation import PROBES, Evaluation, evaluate, load_clip
from m2a.evaluation.probes import probed, shuffled_order
from m2a.models import VideoClassifier, create_model

LABELS = ("Moving something up", "Moving something down", "Holding something")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> ClipSet:
    root = tmp_path_factory.mktemp("set") / "frames"
    synthesize(
        root, classes=LABELS, num_train=3, num_validation=11, size=24, num_frames=7, workers=1, progress=False
    )  # fmt: skip
    return read_clips(root)


def build(clips: ClipSet, mechanism: str) -> VideoClassifier:
    """Its scores are centred over the clips."""
    torch.manual_seed(3)
    model = create_model(
        "resnet10t",
        mechanism=mechanism,
        num_classes=len(clips.labels),
        labels=clips.labels,
        num_frames=5,
        reduction=2,
        size=32,
        backbone_options={"channels": (8, 8, 16, 16), "zero_init_last": False},
    )
    torch.nn.init.normal_(model.head.weight, std=5.0)
    pixels = torch.stack([load_clip(model.eval(), clip.path) for clip in clips.split("validation")])
    with torch.no_grad():
        scores = model(model.preprocessing.normalize(pixels))
        model.head.bias.sub_(scores.mean(0))  # so that it says more than one thing
    return model


def measured(model: VideoClassifier, clips: ClipSet) -> Evaluation:
    return evaluate(model, clips.split("validation"), batch_size=4, device="cpu", probes=True)


def test_an_order_blind_model_says_the_same_of_any_order(clips: ClipSet) -> None:
    result = measured(build(clips, "none"), clips)
    assert result.probes.keys() == PROBES.keys()
    for name in ("shuffled", "reversed"):
        torch.testing.assert_close(result.probes[name], result.probabilities, rtol=0, atol=1e-5)
    found = result.probe_summary()
    assert found is not None
    as_filmed, shuffled, reversed_, still = found["rows"]
    assert as_filmed["top1"] == shuffled["top1"] == reversed_["top1"] == result.top1
    assert "these clips do not show that it hangs on their order" in found["reading"]
    assert not torch.allclose(result.probes["still"], result.probabilities, atol=1e-3)
    assert [row["probe"] for row in (as_filmed, still)] == ["as filmed", "still"]


@pytest.mark.parametrize("mechanism", ["m2a", "tsm"])
def test_a_mechanism_sees_the_order(clips: ClipSet, mechanism: str) -> None:
    result = measured(build(clips, mechanism), clips)
    for name in ("shuffled", "reversed"):
        assert float((result.probes[name] - result.probabilities).abs().max()) > 1e-3


def test_probes_are_made_of_the_frames_that_the_model_saw(clips: ClipSet) -> None:
    pixels = torch.arange(2 * 5, dtype=torch.uint8).view(2, 5, 1, 1, 1).expand(2, 5, 3, 4, 4)
    made = probed(pixels, ["7", "a/b.mp4"])
    numbers = {name: clip[:, :, 0, 0, 0].tolist() for name, clip in made.items()}
    assert numbers["reversed"] == [[4, 3, 2, 1, 0], [9, 8, 7, 6, 5]]
    assert numbers["still"] == [[2] * 5, [7] * 5]
    assert numbers["shuffled"] == [shuffled_order("7", 5), [5 + place for place in shuffled_order("a/b.mp4", 5)]]
    views = probed(pixels[:, None].expand(2, 3, 5, 3, 4, 4), ["7", "a/b.mp4"])
    assert all(views[name][:, 1].equal(made[name]) for name in PROBES), "every view in the same way"


def test_a_shuffle_is_never_the_order_itself() -> None:
    orders = [shuffled_order(str(clip), 3) for clip in range(200)]
    assert all(sorted(order) == [0, 1, 2] != order for order in orders)
    assert len({tuple(order) for order in orders}) == 5
    assert [shuffled_order(str(clip), 3) for clip in range(200)] == orders
    assert shuffled_order("1", 2) == shuffled_order("not UTF-8: \udce9", 2) == [1, 0]
    assert [shuffled_order(str(clip), 3, seed=1) for clip in range(200)] != orders


def test_one_frame_has_no_order() -> None:
    with pytest.raises(ConfigError, match=r"this model takes 1 frame\. Leave them out"):
        probed(torch.zeros(2, 1, 3, 4, 4, dtype=torch.uint8), ["7", "8"])


def made_up(as_filmed: list[int], backwards: list[int], shuffled: list[int]) -> Evaluation:
    """Eight clips of "up", "down" and "hold", and the class said of each under the probes."""
    clips = tuple(ClipFile(id=str(k), path=Path(f"{k}.mp4"), label=LABELS[0]) for k in range(8))
    return Evaluation(
        labels=LABELS,
        clips=clips,  # only their number matters here
        targets=torch.tensor([0, 0, 0, 1, 1, 1, 2, 2]),
        probabilities=torch.eye(3)[as_filmed],
        probes={
            "shuffled": torch.eye(3)[shuffled],
            "reversed": torch.eye(3)[backwards],
            "still": torch.eye(3)[[2] * 8],
        },
    )


@pytest.mark.usefixtures("as_users_run_it")
def test_numbers_by_hand() -> None:
    """Up and down are partners in time, hold has none: 6 clips count for the reversal."""
    right = [0, 0, 0, 1, 1, 1, 2, 2]
    result = made_up(right, [1, 1, 0, 0, 0, 2, 2, 2], [1, 1, 1, 0, 0, 0, 2, 2])
    found = result.probe_summary()
    assert found is not None
    assert [row["top1"] for row in found["rows"]] == [100.0, 25.0, 37.5, 25.0]
    assert [row["num_clips"] for row in found["rows"]] == [8] * 4
    assert found["rows"][1]["top1_low"] == pytest.approx(7.15, abs=0.01)
    assert found["rows"][1]["top1_high"] == pytest.approx(59.07, abs=0.01)
    assert found["reversals"]["num_clips"] == 6
    assert found["reversals"]["as_filmed_named_label"] == 100.0
    assert found["reversals"]["as_filmed_named_partner"] == 0.0
    assert found["reversals"]["reversed_named_partner"] == pytest.approx(100 * 4 / 6)
    assert found["reversals"]["reversed_named_label"] == pytest.approx(100 * 1 / 6)
    assert found["reversals"]["reading"] == (
        "Of 6 clips whose label has a partner in time, 66.7% are called the partner when they run backwards, 16.7% "
        "still by their label."
    )
    assert found["reading"] == (
        "Shuffling the frames takes 75.0 of 100.0%: so much hangs on their order; of one still frame alone it names "
        "25.0%."
    )
    summary = result.summary()
    assert summary["probes"] == found
    assert json.loads(json.dumps(found)) == found
    better = made_up([1, 1, 1, 2, 2, 2, 0, 0], right, right).probe_summary()
    assert better is not None
    assert better["reading"].startswith("Shuffling the frames adds 100.0 to 0.0%: their order misleads it")
    unsure = made_up(right, right, [1, 1, 0, 0, 1, 1, 2, 2]).probe_summary()
    assert unsure is not None
    assert unsure["reading"].startswith(
        "Shuffling the frames takes top-1 from 100.0% to 62.5%: these clips do not show"
    )


def test_without_probes_there_is_nothing_of_them(clips: ClipSet, tmp_path: Path) -> None:
    result = evaluate(build(clips, "none"), clips.split("validation"), device="cpu")
    assert result.probes == {}
    assert result.probe_summary() is None
    assert "probes" not in result.summary()
