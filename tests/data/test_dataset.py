from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from clip_files import cut, write_frames, write_video

from m2a.data import (
    Augmentation,
    BadClip,
    Batch,
    ClipDataset,
    ClipFile,
    Preprocessing,
    Sample,
    make_loader,
    open_clip,
    read_clip,
)
from m2a.errors import ConfigError, DataError

LABELS = ("Swipe left", "Hold", "Swipe right", "Turn clockwise")
SMALL = Preprocessing(num_frames=3, size=13)
EVERYTHING = Augmentation(flip=True, reverse=True, color_jitter=0.4, rand_augment=9)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[ClipFile, ...]:
    """Seven clips of noise, the last two of which cannot be read."""
    folder = tmp_path_factory.mktemp("clips")
    paths = [write_video(folder / f"{k}.mp4", noise=True, num_frames=5 + k) for k in range(4)]
    paths.append(write_frames(folder / "frames", num_frames=2))
    paths.append(cut(write_video(folder / "bad.mp4", noise=True), 0.6))
    paths.append(folder / "gone.mp4")
    return tuple(
        ClipFile(id=path.name, path=path, label=label)
        for path, label in zip(paths, itertools.cycle(LABELS), strict=False)
    )


def make(clips: tuple[ClipFile, ...], **options: Any) -> ClipDataset:
    return ClipDataset(clips, **({"labels": LABELS, "preprocessing": SMALL, "train": True} | options))


def epoch_of(dataset: ClipDataset, workers: int, *, epochs: int = 2) -> Iterator[Batch]:
    loader = make_loader(dataset, batch_size=3, shuffle=True, workers=workers, seed=7)
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)
        yield from loader


def test_a_sample(clips: tuple[ClipFile, ...]) -> None:
    dataset = make(clips, train=False)
    sample = dataset[2]
    assert isinstance(sample, Sample)
    assert sample.clip.shape == (3, 3, 13, 13)
    assert (sample.label, sample.index) == (2, 2)
    again = dataset[2]
    assert isinstance(again, Sample)
    assert torch.equal(again.clip, sample.clip)
    assert len(dataset) == 7
    assert dataset.targets == (0, 1, 2, 3, 0, 1, 2)


def test_a_clip_that_cannot_be_read_is_named(clips: tuple[ClipFile, ...]) -> None:
    bad = make(clips)[5]
    assert isinstance(bad, BadClip)
    assert bad.path == clips[5].path
    assert bad.reason.startswith("the file is cut off")
    assert bad.index == 5


def test_a_batch_holds_what_can_be_read_and_names_the_rest(clips: tuple[ClipFile, ...]) -> None:
    dataset = make(clips, train=False)
    batch = dataset.collate([dataset[index] for index in (4, 5, 1, 6)])
    assert batch.clips.shape == (2, 3, 3, 13, 13)
    assert batch.clips.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    assert batch.labels.tolist() == [0, 1]
    assert batch.indices.tolist() == [4, 1]
    assert [bad.index for bad in batch.bad] == [5, 6]
    assert len(batch) == 2
    moved = batch.to("cpu")
    assert torch.equal(moved.clips, batch.clips)
    assert moved.bad == batch.bad


@pytest.mark.parametrize("workers", [0, 1])
def test_crops_of_training_are_scaled_in_the_batch(clips: tuple[ClipFile, ...], workers: int) -> None:
    """Samples keep the crop's own size; the batch has what `train_transform` gives of the whole frames."""
    small = Preprocessing(num_frames=3, size=41)
    dataset = make(clips[:4], preprocessing=small)
    samples = [dataset[index] for index in range(4)]
    assert len({tuple(sample.clip.shape) for sample in samples if isinstance(sample, Sample)}) > 1
    (batch,) = make_loader(dataset, batch_size=4, shuffle=False, workers=workers, seed=0)
    assert batch.clips.shape == (4, 3, 3, 41, 41)
    assert batch.clips.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    assert batch.packed.pixels.is_shared() == (workers > 0)
    for index, clip in enumerate(batch.clips):
        rng = np.random.default_rng((0, 0, index))
        frames = read_clip(clips[index].path, lambda total, rng=rng: small.sample_train(total, rng))
        assert torch.equal(clip, small.train_transform(frames, rng))


def test_crops_much_larger_than_the_model_sees_are_scaled_before_they_travel(clips: tuple[ClipFile, ...]) -> None:
    whole = Preprocessing(num_frames=3, size=13, scales=(1.0,))
    tall = make(clips[:1], preprocessing=whole)[0]
    assert isinstance(tall, Sample)
    assert tall.clip.shape == (3, 3, 13, 13)


def test_a_clip_can_be_decoded_alone(clips: tuple[ClipFile, ...]) -> None:
    assert [make(clips).decode_only(index) for index in (0, 4)] == [3, 2]  # the second has 2 frames


def test_a_batch_of_nothing_but_unreadable_clips(clips: tuple[ClipFile, ...]) -> None:
    dataset = make(clips)
    batch = dataset.collate([dataset[5], dataset[6]])
    assert len(batch) == len(batch.labels) == len(batch.clips) == 0
    assert len(batch.bad) == 2
    assert batch.to("cpu").clips.shape == batch.clips.shape


def test_what_is_drawn_does_not_depend_on_the_workers(clips: tuple[ClipFile, ...]) -> None:
    state = torch.get_rng_state()
    alone, together = (list(epoch_of(make(clips, augmentation=EVERYTHING, seed=3), workers)) for workers in (0, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert len(alone) == len(together) == 6
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one.clips, other.clips)
        assert one.labels.tolist() == other.labels.tolist()
        assert one.indices.tolist() == other.indices.tolist()
        assert one.bad == other.bad
    first, second = ([index for batch in alone[k : k + 3] for index in batch.indices.tolist()] for k in (0, 3))
    assert sorted(first) == sorted(second) == [0, 1, 2, 3, 4]
    assert first != second  # shuffled anew


def test_each_epoch_clip_and_seed_draws_its_own(clips: tuple[ClipFile, ...]) -> None:
    def draw(seed: int, epoch: int, index: int) -> torch.Tensor:
        dataset = make((clips[3],) * 2, seed=seed)
        dataset.set_epoch(epoch)
        sample = dataset[index]
        assert isinstance(sample, Sample)
        return sample.clip

    drawn = [draw(0, 0, 0), draw(1, 0, 0), draw(0, 1, 0), draw(0, 0, 1)]
    assert torch.equal(drawn[0], draw(0, 0, 0))
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(drawn, 2))


def test_flips_take_the_label_with_them(clips: tuple[ClipFile, ...]) -> None:
    whole = Preprocessing(num_frames=3, size=48, scales=(1.0,))
    for index, labels in ((0, {0, 2}), (1, {1}), (3, {3})):
        plain, flipping = (
            make(clips, preprocessing=whole, augmentation=Augmentation(flip=flip)) for flip in (False, True)
        )
        mirrored = []
        for epoch in range(24):
            plain.set_epoch(epoch)
            flipping.set_epoch(epoch)
            before, after = plain[index], flipping[index]
            assert isinstance(before, Sample)
            assert isinstance(after, Sample)
            mirrored.append(torch.equal(before.clip.flip(-1), after.clip))
            assert mirrored[-1] or torch.equal(before.clip, after.clip)
            assert after.label in labels
            assert (after.label != before.label) == (mirrored[-1] and index == 0)
        assert any(mirrored) == (index != 3)  # clockwise has no partner, so it is never mirrored
        assert not all(mirrored)


def test_reversed_clips_take_the_label_with_them(clips: tuple[ClipFile, ...]) -> None:
    whole = Preprocessing(num_frames=3, size=48, scales=(1.0,))
    labels = ("Opening something", "Hold", "Closing something")
    opening = ClipFile(id="0", path=clips[0].path, label="Opening something")
    holding = ClipFile(id="1", path=clips[1].path, label="Hold")
    plain, reversing = (
        make((opening, holding), labels=labels, preprocessing=whole, augmentation=Augmentation(reverse=reverse))
        for reverse in (False, True)
    )
    backwards = []
    for epoch in range(24):
        plain.set_epoch(epoch)
        reversing.set_epoch(epoch)
        before, after = plain[0], reversing[0]
        assert isinstance(before, Sample)
        assert isinstance(after, Sample)
        backwards.append(torch.equal(before.clip.flip(0), after.clip))
        assert backwards[-1] or torch.equal(before.clip, after.clip)
        assert after.label == (2 if backwards[-1] else 0)
        still = plain[1], reversing[1]
        assert isinstance(still[0], Sample)
        assert isinstance(still[1], Sample)
        assert torch.equal(still[0].clip, still[1].clip)
    assert 4 < sum(backwards) < 20


def test_views_of_a_clip(clips: tuple[ClipFile, ...]) -> None:
    one, six = make(clips, train=False)[3], make(clips, train=False, num_clips=2, num_crops=3)[3]
    assert isinstance(one, Sample)
    assert isinstance(six, Sample)
    assert six.clip.shape == (6, 3, 3, 13, 13)
    with open_clip(clips[3].path) as reader:
        for view in range(2):
            frames = reader.read(SMALL.sample_test(reader.num_frames, view=view, views=2))
            for crop, pixels in enumerate(SMALL.test_crops(frames, 3)):
                assert torch.equal(six.clip[3 * view + crop], pixels)
    twice = make(clips, train=False, num_clips=2)
    batch = twice.collate([twice[index] for index in (3, 2)])
    assert batch.clips.shape == (2, 2, 3, 3, 13, 13)


def test_order_and_last_batch(clips: tuple[ClipFile, ...]) -> None:
    dataset = make(clips[:5], train=False)
    loader = make_loader(dataset, batch_size=2, shuffle=False, workers=0, seed=0)
    assert [batch.indices.tolist() for batch in loader] == [[0, 1], [2, 3], [4]]
    assert len(make_loader(dataset, batch_size=2, shuffle=False, workers=0, seed=0, drop_last=True)) == 2


def test_a_label_that_is_not_in_the_list(clips: tuple[ClipFile, ...]) -> None:
    message = r"2 of 7 clips have a label that is not among the 3 given, first 'Swipe right' of .*2\.mp4; pass the"
    with pytest.raises(DataError, match=message):
        make(clips, labels=("Swipe left", "Hold", "Turn clockwise"))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"train": False, "augmentation": EVERYTHING},
            ConfigError,
            "augmentation changes clips at random, which is for",
        ),
        ({"train": False, "num_crops": 0}, ConfigError, "num_clips=1 and num_crops=0 must both be at least 1"),
        ({"num_clips": 2}, ConfigError, "several views of a clip are for testing; drop num_clips and num_crops"),
        ({"seed": -1}, ConfigError, "seed is -1; it must be 0 or more"),
        ({"labels": ("Hold", "Hold")}, DataError, "labels are there twice: Hold; each may appear once"),
    ],
)
def test_options_that_cannot_work(
    clips: tuple[ClipFile, ...], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make(clips, **options)


def test_a_loader_that_cannot_work(clips: tuple[ClipFile, ...]) -> None:
    with pytest.raises(ConfigError, match="batch_size=0 must be at least 1, workers=0 at least 0"):
        make_loader(make(clips), batch_size=0, shuffle=False, workers=0, seed=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="page-locked memory needs a GPU")
def test_a_batch_goes_to_a_gpu(clips: tuple[ClipFile, ...]) -> None:
    loader = make_loader(make(clips[:5]), batch_size=5, shuffle=False, workers=0, seed=0, pin_memory=True)
    batch = next(iter(loader))
    assert batch.packed.pixels.is_pinned()
    moved = batch.to("cuda")
    assert moved.clips.stride() == batch.clips.stride()
    assert int((moved.clips.cpu().int() - batch.clips.int()).abs().max()) <= 1  # a GPU rounds otherwise
