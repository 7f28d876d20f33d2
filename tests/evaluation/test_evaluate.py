"""Numbers of an evaluation, against the same numbers counted by hand from each clip's own scores."""

from __future__ import annotations

import csv
import io
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from m2a.data import BadClip, ClipFile, ClipSet, open_clip, read_clip, read_clips
from m2a.data.synthetic import synthesize
from m2a.errors import ConfigError, DataError, NotFoundError, UnreadableClipError
from m2a.evaluation import Evaluation, Prediction, evaluate, load_clip, predict, predict_all
from m2a.models import VideoClassifier, create_model


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> ClipSet:
    """11 JPEG clips of 4 classes to evaluate."""
    root = tmp_path_factory.mktemp("set") / "frames"
    synthesize(root, classes=4, num_train=4, num_validation=11, size=24, num_frames=5, workers=1, progress=False)
    return read_clips(root)


@pytest.fixture
def model(clips: ClipSet) -> VideoClassifier:
    """Its scores are centred over the clips, so that it says more than one thing."""
    model = build(clips.labels).eval()
    pixels = torch.stack([load_clip(model, clip.path) for clip in clips.split("validation")])
    with torch.no_grad():
        model.head.bias.sub_(model(model.preprocessing.normalize(pixels)).mean(0))
    return model


def build(labels: tuple[str, ...] | None, num_classes: int | None = None) -> VideoClassifier:
    torch.manual_seed(3)
    model = create_model(
        "resnet10t",
        num_classes=num_classes or len(labels or ()),
        labels=labels,
        num_frames=3,
        reduction=2,
        size=32,
        backbone_options={"channels": (8, 8, 16, 16), "zero_init_last": False},
    )
    torch.nn.init.normal_(model.head.weight, std=5.0)  # scores that differ by more than rounding
    return model


def scores_of(model: VideoClassifier, clip: ClipFile) -> list[float]:
    """One clip by itself, step by step."""
    model.eval()
    frames = read_clip(clip.path, model.preprocessing.sample_test)
    pixels = model.preprocessing.test_transform(frames)
    with torch.no_grad():
        return model(model.preprocessing.normalize(pixels)[None])[0].softmax(0).tolist()


def broken(clips: ClipSet, folder: Path) -> tuple[ClipFile, ...]:
    """The clips to evaluate, the third of which has a damaged frame."""
    members = list(clips.split("validation"))
    target = folder / "damaged"
    shutil.copytree(members[2].path, target)
    for frame in target.iterdir():
        frame.write_bytes(b"not a jpeg")
    members[2] = replace(members[2], path=target)
    return tuple(members)


def test_the_numbers_are_those_counted_by_hand(clips: ClipSet, model: VideoClassifier) -> None:
    members = clips.split("validation")
    by_hand = [scores_of(model, clip) for clip in members]
    said = [max(range(4), key=scores.__getitem__) for scores in by_hand]
    truth = [clips.labels.index(clip.label) for clip in members]
    assert len(set(said)) > 1  # else this test could not tell rows from columns
    result = evaluate(model, members, batch_size=3, device="cpu")
    assert result.clips == members
    assert result.targets.tolist() == truth
    torch.testing.assert_close(result.probabilities, torch.tensor(by_hand), rtol=0, atol=1e-5)
    hits = [one == other for one, other in zip(said, truth, strict=True)]
    assert result.top1 == pytest.approx(100 * sum(hits) / 11)
    assert result.top5 == pytest.approx(100)  # of 4 classes
    pairs = list(zip(truth, said, strict=True))
    assert result.confusion.tolist() == [[pairs.count((row, column)) for column in range(4)] for row in range(4)]
    for index, entry in enumerate(result.per_class()):
        own = [hit for hit, target in zip(hits, truth, strict=True) if target == index]
        assert entry == {
            "label": clips.labels[index],
            "clips": len(own),
            "top1": pytest.approx(100 * sum(own) / len(own)),
        }


def test_batches_and_workers_change_nothing(clips: ClipSet, model: VideoClassifier) -> None:
    members = clips.split("validation")
    one = evaluate(model, members, batch_size=11, device="cpu")
    other = evaluate(model, members, batch_size=2, workers=1, device="cpu")
    torch.testing.assert_close(one.probabilities, other.probabilities, rtol=0, atol=1e-5)
    assert one.clips == other.clips
    half = evaluate(model, members, bf16=True, device="cpu")
    assert half.probabilities.dtype == torch.float32
    assert float((half.probabilities - one.probabilities).abs().max()) < 0.2


def evaluation(probabilities: list[list[float]], targets: list[int]) -> Evaluation:
    labels = tuple("abcdefg"[: len(probabilities[0])])
    clips = tuple(ClipFile(id=f"{k}", path=Path(f"{k}.mp4"), label=labels[t]) for k, t in enumerate(targets))
    return Evaluation(
        labels=labels, clips=clips, targets=torch.tensor(targets), probabilities=torch.tensor(probabilities)
    )


def test_shares_worked_out_by_hand() -> None:
    """Class g comes sixth and class a fifth: half the clips are right within five, none at first."""
    row = [0.02, 0.3, 0.2, 0.2, 0.15, 0.03, 0.1]
    result = evaluation([row, row], [5, 6])
    assert (result.top1, result.top5) == (0.0, 50.0)
    right = evaluation([row, row, row], [1, 1, 2])
    assert right.top1 == pytest.approx(200 / 3)
    assert right.per_class()[1] == {"label": "b", "clips": 2, "top1": 100.0}
    assert right.per_class()[2] == {"label": "c", "clips": 1, "top1": 0.0}
    assert right.per_class()[0] == {"label": "a", "clips": 0, "top1": None}
    assert right.confusion[2].tolist() == [0, 1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("classes", [2, 5, 7])
def test_of_equal_scores_the_first_is_the_likeliest(classes: int) -> None:
    """As `argmax` has it, in the first place and in those behind."""
    alike = [[1 / classes] * classes] * classes
    result = evaluation(alike, list(range(classes)))
    assert result.top1 == pytest.approx(100 / classes)
    assert result.top5 == pytest.approx(100 * min(5, classes) / classes)


def test_classes_count_alike_in_their_mean() -> None:
    """Nine clips of a, all named; three of b, of which one is; none of c."""
    a, b = [0.8, 0.1, 0.1], [0.1, 0.8, 0.1]
    result = evaluation([a] * 9 + [a, a, b], [0] * 9 + [1] * 3)
    assert result.top1 == pytest.approx(100 * 10 / 12)
    assert result.mean_class == pytest.approx((100 + 100 / 3) / 2)
    assert result.summary()["mean_class"] == result.mean_class
    assert result.single_answer == ""
    told = evaluation([a] * 4, [0, 0, 0, 1]).single_answer
    assert told == "every clip was called 'a', which 75.0% of them are: the model tells none apart"
    assert evaluation([a] * 4, [0] * 4).single_answer == ""


def test_the_summary_is_plain() -> None:
    import json

    summary = evaluation([[0.9, 0.1], [0.8, 0.2]], [0, 1]).summary()
    assert json.loads(json.dumps(summary)) == summary
    assert summary["num_clips"] == 2
    assert summary["top1"] == 50.0
    assert summary["confusion"] == [[1, 0], [1, 0]]
    assert summary["skipped"] == []


def test_predictions_are_a_table(tmp_path: Path) -> None:
    evaluation([[0.9, 0.1], [3e-6, 1 - 3e-6]], [0, 0]).write_predictions(tmp_path / "predictions.csv")
    with (tmp_path / "predictions.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [
            ["clip", "label", "prediction", "a", "b"],
            ["0", "a", "a", "0.9", "0.1"],
            ["1", "a", "b", "3e-06", "0.999997"],
        ]


def test_groups_are_kept_where_clips_share_one() -> None:
    """A clip without a group is alone; parts of one file are of one recording, whatever else they are called."""
    found = evaluation([[0.9, 0.1]] * 5, [0, 0, 1, 1, 1])
    first, second, third, fourth, fifth = found.clips
    assert found.groups() == {}
    assert "groups" not in found.summary()
    alone = replace(found, clips=(replace(first, group="a"), replace(second, group="b"), third, fourth, fifth))
    assert alone.groups() == {}
    shared = replace(found, clips=(replace(first, group="a"), replace(second, group="a"), third, fourth, fifth))
    assert shared.summary()["groups"] == {"0": "a", "1": "a"}
    path = Path("long.mp4")
    parts = [replace(clip, path=path, window=(start, 8)) for clip, start in ((third, 0), (fourth, 8))]
    windows = replace(found, clips=(first, replace(second, group="b"), *parts, fifth))
    assert windows.groups() == {"1": "b", "2": "long.mp4", "3": "long.mp4"}


def test_a_class_may_be_called_group() -> None:
    """Groups are not in the table, whose columns are named after classes."""
    clips = tuple(ClipFile(id=name, path=Path(name), label="group", group="a") for name in ("0", "1"))
    found = replace(evaluation([[0.9, 0.1], [0.2, 0.8]], [0, 0]), labels=("group", "groups"), clips=clips)
    assert found.summary()["groups"] == {"0": "a", "1": "a"}
    assert found.predictions_csv().decode().splitlines() == [
        "clip,label,prediction,group,groups",
        "0,group,group,0.9,0.1",
        "1,group,groups,0.2,0.8",
    ]


def test_predictions_hold_names_that_are_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    found = evaluation([[0.9, 0.1], [0.25, 0.75]], [0, 0])
    replace(found, clips=tuple(replace(clip, id="caf\udce9") for clip in found.clips)).write_predictions(path)
    assert path.read_bytes().splitlines()[1].startswith(b"caf\xe9,")


def test_a_clip_that_cannot_be_read_stops_it(clips: ClipSet, model: VideoClassifier, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"damaged cannot be decoded: .*An accuracy without it would be another number\. .* --skip-bad"
    ):
        evaluate(model, broken(clips, tmp_path), batch_size=2, device="cpu")


def test_or_is_left_out_and_counted(clips: ClipSet, model: VideoClassifier, tmp_path: Path) -> None:
    members = broken(clips, tmp_path)
    whole = evaluate(model, clips.split("validation"), device="cpu")
    for batch_size in (1, 4):
        result = evaluate(model, members, batch_size=batch_size, device="cpu", skip_bad=True)
        assert [bad.path for bad in result.skipped] == [tmp_path / "damaged"]
        assert result.clips == members[:2] + members[3:]
        rest = torch.cat([whole.probabilities[:2], whole.probabilities[3:]])
        torch.testing.assert_close(result.probabilities, rest, rtol=0, atol=1e-5)
        assert result.summary()["num_clips"] == 10
        assert result.summary()["skipped"][0]["path"] == str(tmp_path / "damaged")
    with pytest.raises(DataError, match=r"None of the 1 clips can be decoded; the first: .*damaged: "):
        evaluate(model, members[2:3], device="cpu", skip_bad=True)


def test_labels_must_be_the_models(clips: ClipSet) -> None:
    members = clips.split("validation")
    other = (*clips.labels[:3], "Folding something")
    with pytest.raises(
        DataError, match=rf"1 labels of these clips are not among the 4 .* with: '{clips.labels[3]}'\. Eval"
    ):
        evaluate(build(other), members, device="cpu")
    with pytest.raises(
        ConfigError, match=r"This model has no labels, so its outputs have no names\. Create it with labels="
    ):
        evaluate(build(None, 4), members, device="cpu")
    with pytest.raises(DataError, match=r"There are no clips to evaluate\."):
        evaluate(build(clips.labels), [], device="cpu")


def test_labels_are_matched_by_name_not_by_position(clips: ClipSet, model: VideoClassifier) -> None:
    """The same network with its outputs renumbered says the same of every clip."""
    order = [2, 0, 3, 1]
    renumbered = build(tuple(clips.labels[k] for k in order))
    renumbered.load_state_dict(model.state_dict())
    with torch.no_grad():
        renumbered.head.weight.copy_(model.head.weight[order])
        renumbered.head.bias.copy_(model.head.bias[order])
    one, other = (evaluate(m, clips.split("validation"), device="cpu") for m in (model, renumbered))
    assert one.top1 == other.top1
    torch.testing.assert_close(one.probabilities[:, order], other.probabilities, rtol=0, atol=1e-5)


def test_it_leaves_the_weights_alone_and_is_silent(clips: ClipSet, model: VideoClassifier) -> None:
    before = {key: value.clone() for key, value in model.state_dict().items()}
    out = io.StringIO()
    evaluate(model.train(), clips.split("validation"), device="cpu", console=Console(file=out))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert out.getvalue() == ""
    assert not model.training


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("videos") / "set"
    synthesize(
        root, layout="class-folders", classes=2, num_train=2, num_validation=2, size=24, num_frames=5, workers=1,
        progress=False,
    )  # fmt: skip
    return next(root.rglob("*.mp4"))


def test_a_prediction_of_frames_and_of_a_video(clips: ClipSet, model: VideoClassifier, video: Path) -> None:
    frames = clips.split("validation")[0]
    expected = scores_of(model, frames)
    guesses = predict(model, frames.path, top_k=3).guesses
    assert [guess.probability for guess in guesses] == pytest.approx(sorted(expected, reverse=True)[:3], abs=1e-5)
    assert guesses[0].label == clips.labels[expected.index(max(expected))]
    of_video = predict(model.train(), str(video))
    assert all(module.training for module in model.modules())  # as it was
    assert of_video.path == video
    assert {guess.label for guess in of_video.guesses} == set(clips.labels)  # 4 of the 5 asked for
    assert sum(guess.probability for guess in of_video.guesses) == pytest.approx(1, abs=1e-5)
    plain: dict[str, Any] = of_video.to_dict()
    assert plain["path"] == str(video)
    assert plain["top"][0] == {"label": of_video.guesses[0].label, "probability": of_video.guesses[0].probability}
    assert load_clip(model, video).shape == (3, 3, 32, 32)
    assert predict(model.eval(), str(video)) == of_video


@pytest.mark.parametrize("how", [{}, {"workers": 1}, {"threads": 3}, {"num_clips": 2, "num_crops": 3}])
def test_a_picture_that_stands_still_is_told(
    clips: ClipSet, model: VideoClassifier, tmp_path: Path, how: dict[str, int]
) -> None:
    moving = clips.split("validation")[0].path
    frames = sorted(moving.iterdir())
    for name, taken in (("one", frames[:1]), ("same", frames[:1] * 5), ("late", [*frames[:1] * 2, frames[-1]])):
        (tmp_path / name).mkdir()
        for number, frame in enumerate(taken):
            shutil.copy(frame, tmp_path / name / f"{number}.jpg")
    paths = [tmp_path / "one", moving, tmp_path / "same", tmp_path / "late"]
    said = [one for one in predict_all(model, paths, **how) if not isinstance(one, BadClip)]
    assert [one.still for one in said] == [True, False, True, False]
    views = {name: count for name, count in how.items() if name.startswith("num")}
    assert [predict(model, path, **views).still for path in paths] == [True, False, True, False]
    assert said[0].to_dict()["still"] is True


@pytest.mark.parametrize("how", [{}, {"workers": 1}, {"threads": 3}])
def test_many_videos_are_predicted_as_one_by_one(
    clips: ClipSet, model: VideoClassifier, video: Path, tmp_path: Path, how: dict[str, int]
) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    paths = [*(clip.path for clip in clips.split("validation")[:4]), tmp_path / "text.mp4", *([video] * 3)]
    threads = torch.get_num_threads()
    said = list(predict_all(model.train(), paths, batch_size=4, top_k=3, **how))
    assert not model.training
    assert torch.get_num_threads() == threads
    assert [one.path for one in said] == paths
    for number, (path, one) in enumerate(zip(paths, said, strict=True)):
        if number == 4:
            assert isinstance(one, BadClip)
            assert "this is not a video" in one.reason
            continue
        assert isinstance(one, Prediction)
        expected = predict(model, path, top_k=3).guesses
        assert [guess.label for guess in one.guesses] == [guess.label for guess in expected]
        assert [guess.probability for guess in one.guesses] == pytest.approx(
            [g.probability for g in expected], abs=1e-5
        )


def test_many_videos_in_bfloat16_and_in_views(clips: ClipSet, model: VideoClassifier) -> None:
    path = clips.split("validation")[0].path
    exact, rounded = (next(predict_all(model, [path], bf16=bf16, num_clips=2, num_crops=3)) for bf16 in (False, True))
    assert isinstance(exact, Prediction)
    assert isinstance(rounded, Prediction)
    assert exact.guesses == predict(model, path, num_clips=2, num_crops=3).guesses
    both = ({guess.label: guess.probability for guess in one.guesses} for one in (exact, rounded))
    first, second = both
    assert first != second
    assert second == pytest.approx(first, abs=0.2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 0}, "top_k"),
        ({"batch_size": 0}, "batch_size"),
        ({"threads": 0}, "threads"),
        ({"threads": 2, "workers": 1}, "leave workers=1 out"),
    ],
)
def test_many_videos_refuse_at_once(model: VideoClassifier, options: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        predict_all(model, ["a.mp4"], **options)
    with pytest.raises(ConfigError, match="no labels"):
        predict_all(build(None, 4), ["a.mp4"])


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize("path", ["a.mp4", Path("a.mp4")])
def test_a_single_path_is_no_list_of_videos(model: VideoClassifier, path: Any) -> None:
    with pytest.raises(ConfigError, match=r"paths must be a list of videos; got 'a\.mp4' alone\. Give \[path\], or"):
        predict_all(model, path)


def test_views_are_averaged(clips: ClipSet, model: VideoClassifier) -> None:
    model.preprocessing = replace(model.preprocessing, resize=40)
    members = clips.split("validation")[:3]
    result = evaluate(model, members, device="cpu", num_clips=2, num_crops=3, batch_size=2)
    assert result.views == (2, 3)
    assert result.summary()["views"] == "2 x 3"
    for row, clip in enumerate(members):
        expected = torch.zeros(4)
        with open_clip(clip.path) as reader:
            for view in range(2):
                frames = reader.read(model.preprocessing.sample_test(reader.num_frames, view=view, views=2))
                for pixels in model.preprocessing.test_crops(frames, 3):
                    expected += model.predict_probabilities(pixels[None])[0] / 6
        torch.testing.assert_close(result.probabilities[row], expected, rtol=0, atol=1e-5)
        guess = predict(model, clip.path, num_clips=2, num_crops=3, top_k=1).guesses[0]
        assert guess.probability == pytest.approx(float(expected.max()), abs=1e-5)


@pytest.mark.parametrize("batch_size", [4, 7, 64])
def test_a_batch_is_of_so_many_views(clips: ClipSet, model: VideoClassifier, batch_size: int) -> None:
    """No more of them go through the model together, and no more are held, than of clips that are looked at once."""
    members = clips.split("validation")
    passes: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        whole = VideoClassifier.predict_probabilities
        patch.setattr(
            VideoClassifier,
            "predict_probabilities",
            lambda one, views: (passes.append(len(views)), whole(one, views))[1],
        )
        views: dict[str, Any] = {"num_clips": 2, "num_crops": 3}
        result = evaluate(model, members, device="cpu", batch_size=batch_size, **views)
        assert max(passes) <= batch_size
        assert sum(passes) == 6 * len(members)
        passes.clear()
        said = list(predict_all(model, [clip.path for clip in members], batch_size=batch_size, top_k=1, **views))
        assert max(passes) <= batch_size
    for row, (clip, one) in enumerate(zip(members, said, strict=True)):
        probabilities = predict(model, clip.path, top_k=1, **views).guesses
        assert isinstance(one, Prediction)
        for guess in (one.guesses[0], probabilities[0]):
            assert guess.probability == pytest.approx(float(result.probabilities[row].max()), abs=1e-5)


def test_a_batch_of_no_clips_is_refused(clips: ClipSet, model: VideoClassifier) -> None:
    for views in (1, 2):
        with pytest.raises(ConfigError, match="batch_size=0 must be at least 1"):
            evaluate(model, clips.split("validation"), device="cpu", batch_size=0, num_clips=views)


def test_what_cannot_be_predicted(clips: ClipSet, model: VideoClassifier, tmp_path: Path) -> None:
    path = clips.split("validation")[0].path
    with pytest.raises(
        NotFoundError, match=r"There is no video .*gone\.mp4\. Give a video file or a folder of \.jpg frames\."
    ):
        predict(model, tmp_path / "gone.mp4")
    with pytest.raises(ConfigError, match=r"top_k must be at least 1; got 0\."):
        predict(model, path, top_k=0)
    with pytest.raises(ConfigError, match=r"This model has no labels"):
        predict(build(None, 4), path)
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(UnreadableClipError, match=r"text\.mp4: "):
        predict(model, tmp_path / "text.mp4")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnreadableClipError, match=r"empty: "):
        predict(model, tmp_path / "empty")
