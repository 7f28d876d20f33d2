"""Frames decoded straight into memory that is given for them: the same pixels, crops as views, no slot lost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from clip_files import cut, write_frames, write_jpeg, write_video
from PIL import Image

from m2a.data import Augmentation, ClipDataset, ClipFile, Preprocessing, Sample, make_loader, open_clip
from m2a.data.slots import Slot, SlotPool
from m2a.errors import DataError, UnreadableClipError

SMALL = Preprocessing(num_frames=3, size=41)  # frames of 37 x 53 are no larger than what may travel


def noise(path: Path, seed: int, *, mode: str = "RGB") -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (53, 37, 4), dtype=np.uint8)
    Image.fromarray(pixels[..., : len(mode)] if len(mode) > 1 else pixels[..., 0], mode=mode).save(path, quality=95)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven frames of noise; one is grey, and one in ink's colours, which libjpeg-turbo alone cannot turn into RGB."""
    path = tmp_path_factory.mktemp("frames")
    for k in range(7):
        noise(path / f"{k + 1:05d}.jpg", k, mode={2: "L", 5: "CMYK"}.get(k, "RGB"))
    return path


class Memory:
    """What a reader is given, and the shapes that it asked for."""

    def __init__(self, room: int = 10**6) -> None:
        self.pixels = np.full(room, 77, np.uint8)
        self.asked: list[tuple[int, ...]] = []

    def __call__(self, shape: Sequence[int]) -> np.ndarray | None:
        self.asked.append(tuple(shape))
        num = math.prod(shape)
        return self.pixels[:num].reshape(shape) if num <= len(self.pixels) else None


@pytest.mark.parametrize("indices", [[0], [0, 1, 2], [1, 3, 3, 6], [6, 0, 5, 5, 2]])
@pytest.mark.parametrize("short_side", [None, 18])
def test_the_same_frames_with_memory_and_without(folder: Path, indices: list[int], short_side: int | None) -> None:
    def crop(height: int, width: int) -> tuple[int, int, int, int]:
        return 1, 2, height - 4, width - 7

    memory = Memory()
    with open_clip(folder, short_side=short_side) as clip:
        given = clip.read(indices, crop=crop, allocate=memory)
        assert torch.equal(given, clip.read(indices, crop=crop))
        whole = clip.read(indices, allocate=Memory())
        assert torch.equal(whole, clip.read(indices))
    assert memory.asked == [(len(indices), *whole.shape[-2:], 3)]
    assert np.shares_memory(given.numpy(), memory.pixels)
    assert given.stride()[-3] == 1


@pytest.mark.parametrize("whole", [True, False])
def test_with_too_little_memory_the_crops_are_copied(folder: Path, whole: bool) -> None:
    memory = Memory(room=3 * 10 * 11 * 3 if whole else 10)
    with open_clip(folder) as clip:
        frames = clip.read([0, 1, 2], crop=lambda height, width: (5, 6, 10, 11), allocate=memory)
    assert memory.asked == [(3, 53, 37, 3), (3, 10, 11, 3)]
    assert np.shares_memory(frames.numpy(), memory.pixels) == whole


def test_a_window_decodes_into_memory_too(folder: Path) -> None:
    memory = Memory()
    with open_clip(folder, window=(2, 4)) as clip, open_clip(folder) as everything:
        frames = clip.read([3, 1], allocate=memory)
        assert torch.equal(frames, everything.read([5, 3]))
        assert memory.asked == [(2, 53, 37, 3)]
        with pytest.raises(DataError, match="which has 4 frames"):
            clip.read([4], allocate=memory)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda frame: write_jpeg(frame, grey=0, width=41), r"differ in size \(37x53 at frame 0, 41x53 at frame 2\)"),
        (lambda frame: cut(frame, 0.8), r"the frame 00003\.jpg is cut off"),
        (lambda frame: frame.write_text("hello"), r"the frame 00003\.jpg is not a JPEG image"),
        (lambda frame: frame.write_text(""), r"the frame 00003\.jpg is empty"),
    ],
)
def test_a_bad_frame_is_named(tmp_path: Path, damage: Callable[[Path], object], reason: str) -> None:
    write_frames(tmp_path, num_frames=4)
    damage(tmp_path / "00003.jpg")
    for indices in ([0, 2, 3], [2, 0]):
        with open_clip(tmp_path) as clip, pytest.raises(UnreadableClipError, match=reason):
            clip.read(indices, allocate=Memory())


def make(folder: Path, augmentation: Augmentation | None = None) -> ClipDataset:
    """Folders of noise, one of which is cut off and one of which has another size, and a video; half the labels have a
    mirrored partner."""
    paths = []
    for number in range(9):
        path = folder / str(number)
        if not path.exists():
            path.mkdir()
            for k in range(5):
                noise(path / f"{k + 1:05d}.jpg", 10 * number + k)
    for k in range(5):
        write_jpeg(folder / "4" / f"{k + 1:05d}.jpg", grey=9 * k, width=59)
    cut(folder / "6" / "00003.jpg", 0.5)
    paths = [*sorted(folder.glob("[0-9]")), write_video(folder / "video.mp4", noise=True)]
    labels = ["Pushing left", "Pushing right"]
    clips = [ClipFile(id=path.name, path=path, label=labels[n % 2]) for n, path in enumerate(paths)]
    return ClipDataset(clips, labels=labels, preprocessing=SMALL, train=True, augmentation=augmentation)


@pytest.mark.parametrize(
    "augmentation",
    [Augmentation(), Augmentation(flip=True), Augmentation(rand_augment=5)],
    ids=["none", "flip", "rand"],
)
def test_a_loader_with_slots_gives_what_one_without_gives(tmp_path: Path, augmentation: Augmentation) -> None:
    dataset = make(tmp_path, augmentation)
    batches = [list(make_loader(dataset, batch_size=5, shuffle=False, workers=n, seed=0)) for n in (0, 1)]
    for plain, slotted in zip(*batches, strict=True):
        assert torch.equal(plain.clips, slotted.clips)
        assert plain.labels.tolist() == slotted.labels.tolist()
        assert plain.labels.dtype == slotted.labels.dtype
        assert plain.indices.tolist() == slotted.indices.tolist()
        assert [bad.index for bad in plain.bad] == [bad.index for bad in slotted.bad]
        assert slotted.packed.lease is not None
    assert [bad.index for batch in batches[0] for bad in batch.bad] == [6]


def test_what_is_not_needed_any_more_is_written_over(tmp_path: Path) -> None:
    """A clip that is mirrored or cannot be read leaves no whole frames behind; a crop that is kept lies in its own."""
    dataset = make(tmp_path, Augmentation(flip=True))
    pool = SlotPool(workers=1, num_bytes=len(dataset) * dataset.most_bytes, slots=1)
    dataset.use_slots(pool.of(0))
    samples = dataset.__getitems__(list(range(len(dataset))))
    slot = dataset._slot
    assert isinstance(slot, Slot)
    frames = 3 * 53 * 3 * 37
    kept = mirrored = 0
    for sample in samples:
        if isinstance(sample, Sample) and sample.index not in (4, 9):
            flipped = sample.label != sample.index % 2
            mirrored += sample.clip.numel() if flipped else 0
            kept += 0 if flipped else frames
    assert mirrored
    assert kept
    others = sum(sample.clip.numel() for sample in samples if isinstance(sample, Sample) and sample.index == 9)
    wide = next(sample for sample in samples if isinstance(sample, Sample) and sample.index == 4)
    others += wide.clip.numel() if wide.label != 0 else 3 * 53 * 3 * 59
    assert slot.used == kept + mirrored + others
    assert all(
        slot.offset(sample.clip.movedim(-3, -1).numpy()) is not None for sample in samples if isinstance(sample, Sample)
    )


def test_a_clip_takes_no_more_than_its_share(tmp_path: Path) -> None:
    """Whole frames much larger than the model's input are not kept: the crop is copied, so that the batch fits."""
    dataset = make(tmp_path)
    tiny = ClipDataset(
        dataset.clips, labels=dataset.labels, preprocessing=Preprocessing(num_frames=3, size=29), train=True
    )
    assert tiny.most_bytes < 3 * 53 * 37 * 3
    tiny.use_slots(SlotPool(workers=1, num_bytes=3 * tiny.most_bytes, slots=1).of(0))
    samples = tiny.__getitems__([0, 1, 2])
    slot = tiny._slot
    assert isinstance(slot, Slot)
    assert slot.used == sum(sample.clip.numel() for sample in samples if isinstance(sample, Sample))
