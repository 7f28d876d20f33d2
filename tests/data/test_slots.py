"""Batches in shared memory that is used again: never written to while somebody reads it, whatever a loop does."""

from __future__ import annotations

import gc

import pytest
import torch
from clip_files import write_video

from m2a.data import Batch, ClipDataset, ClipFile, Preprocessing, make_loader
from m2a.data.slots import SlotPool, lease

SMALL = Preprocessing(num_frames=3, size=41)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> ClipDataset:
    """Eleven clips of grey frames, each another length."""
    folder = tmp_path_factory.mktemp("clips")
    paths = [write_video(folder / f"{k}.mp4", num_frames=5 + k) for k in range(11)]
    clips = [ClipFile(id=path.name, path=path, label="x") for path in paths]
    return ClipDataset(clips, labels=["x"], preprocessing=SMALL, train=True)


def numbers(batches: list[Batch]) -> list[list[float]]:
    return [clip.float().mean(dim=(1, 2, 3)).tolist() for batch in batches for clip in batch.clips]


def test_batches_that_are_kept_keep_their_pixels(dataset: ClipDataset) -> None:
    """Far more of them at once than there are slots."""
    loader = make_loader(dataset, batch_size=1, shuffle=False, workers=1, seed=0)
    kept = list(loader)
    assert any(batch.packed.lease is None for batch in kept)
    assert any(batch.packed.lease is not None for batch in kept)
    assert numbers(kept) == numbers(list(make_loader(dataset, batch_size=1, shuffle=False, workers=0, seed=0)))


def test_slots_are_used_again(dataset: ClipDataset) -> None:
    loader = make_loader(dataset, batch_size=2, shuffle=False, workers=1, seed=0)
    addresses = set()
    for _ in range(3):
        for batch in loader:
            assert batch.packed.lease is not None
            addresses.add(batch.packed.pixels.data_ptr())
            del batch
    assert len(addresses) <= 4


def test_a_loop_that_is_left_early_loses_no_slot(dataset: ClipDataset) -> None:
    loader = make_loader(dataset, batch_size=1, shuffle=False, workers=1, seed=0)
    for _ in range(5):
        next(iter(loader))
    gc.collect()
    for batch in loader:
        assert batch.packed.lease is not None
        del batch


def test_what_is_moved_or_unpacked_outlives_its_slot(dataset: ClipDataset) -> None:
    loader = make_loader(dataset, batch_size=1, shuffle=False, workers=1, seed=0)
    moved, clips = [], []
    for batch in loader:
        moved.append(batch.to("cpu"))
        clips.append(batch.clips)
        del batch
    assert [clip.float().mean(dim=(2, 3, 4)).tolist()[0] for clip in clips] == numbers(moved)


def test_a_slot_is_taken_until_the_last_reference_is_gone() -> None:
    pool = SlotPool(workers=2, num_bytes=13, slots=2)
    slots = pool.of(1)
    first, second = slots.take(), slots.take()
    assert first is not None
    assert second is not None
    assert slots.take() is None
    pixels, held = lease(first.address)
    part = first.allocate((13,))
    assert part is not None
    part[:] = 7
    assert pixels.tolist() == [7] * 13
    assert slots.take() is None
    del held
    again = slots.take()
    assert again is not None
    assert again.address == first.address
    assert pool.taken.tolist() == [[0, 0], [1, 1]]


def test_what_does_not_fit_into_a_slot() -> None:
    slot = SlotPool(workers=1, num_bytes=13, slots=1).of(0).take()
    assert slot is not None
    assert slot.allocate((2, 5)) is not None
    assert slot.allocate((2, 2)) is None
    assert slot.allocate((3,)) is not None


def test_without_room_there_are_no_slots() -> None:
    assert SlotPool.create(workers=0, num_bytes=13) is None
    assert SlotPool.create(workers=1, num_bytes=2**50) is None
    assert SlotPool.create(workers=1, num_bytes=13) is not None


def test_larger_clips_than_expected_travel_by_themselves(dataset: ClipDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClipDataset, "most_bytes", 100)
    batches = list(make_loader(dataset, batch_size=2, shuffle=False, workers=1, seed=0))
    assert all(batch.packed.lease is None and batch.packed.pixels.is_shared() for batch in batches)
    assert torch.cat([batch.indices for batch in batches]).tolist() == list(range(11))
