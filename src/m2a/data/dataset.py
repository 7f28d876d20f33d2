"""Clips as torch items and batches. A clip that cannot be read is named in the batch, never replaced by another."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from ..errors import CacheError, ConfigError, DataError, UnreadableClipError
from ..wording import first_few
from .augment import Augmentation, Augmenter
from .batch import BadClip as BadClip
from .batch import Batch as Batch
from .batch import Failure
from .batch import Sample as Sample
from .batch import collate as collate
from .cache import ClipCache
from .clipset import ClipFile
from .preprocessing import Preprocessing
from .readers import ClipReader, Decoder, check_decoder, open_clip, read_clip
from .slots import Slot, SlotPool, WorkerSlots

_TRAVELS = 2  # times as many pixels as the model's input a crop may have on its way to the model


class ClipDataset(Dataset[Sample | BadClip | Failure]):
    """Labelled clips, decoded and cropped when asked for. `collate` makes batches of them, `make_loader` a loader.

    For training frames and crops are drawn at random, and clips changed as `augmentation` says, mirrored ones with
    their labels. What is drawn for a clip depends on the seed, the epoch and the clip's position alone, whichever
    worker reads it. For testing a clip may be looked at in several views, `num_clips` in time by `num_crops` in space;
    they come as `(num_clips * num_crops, T, 3, S, S)`, or without the first axis when it is one view.

    With a `cache` each clip is decoded once, and its crops are taken from frames that are scaled down; see `ClipCache`.

    Args:
        clips: such as a split of what `read_clips` gives.
        labels: names of the classes; a clip's class is the place of its label among them.
        preprocessing: how frames are sampled, cropped and normalised; a model has its own (`model.preprocessing`).
        train: draw frames and crops, and augment; else take those of testing.
        augmentation: of training clips; by default none.
        num_clips, num_crops: views of each clip for testing, in time and in space.
        decoder: what decodes videos; "auto" is torchcodec where it works.
        cache: where decoded clips are kept.
        seed: of what is drawn, 0 or more.

    Raises:
        ConfigError: views or augmentation are asked of the purpose that they are not for, or the seed is negative.
        DataError: a clip's label is not among the labels, or a label is there twice.
    """

    def __init__(
        self,
        clips: Sequence[ClipFile],
        *,
        labels: Sequence[str],
        preprocessing: Preprocessing,
        train: bool,
        augmentation: Augmentation | None = None,
        num_clips: int = 1,
        num_crops: int = 1,
        decoder: Decoder = "pyav",
        cache: ClipCache | None = None,
        seed: int = 0,
    ) -> None:
        self.clips = tuple(clips)
        self.labels = tuple(labels)
        self.preprocessing = preprocessing
        self.train = train
        self.seed = seed
        self.num_clips = num_clips
        self.num_crops = num_crops
        self.decoder: Decoder = decoder
        self.cache = cache
        check_decoder(decoder)
        augmentation = augmentation or Augmentation()
        _validate(self.clips, self.labels, seed)
        _validate_purpose(train, augmentation, num_clips, num_crops)
        classes = {label: index for index, label in enumerate(self.labels)}
        self.targets = tuple(classes[clip.label] for clip in self.clips)
        self._augment = Augmenter(augmentation, self.labels)
        self._slots: WorkerSlots | None = None
        self._slot: Slot | None = None  # of the batch that is being read
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # workers that live on see it change

    @property
    def epoch(self) -> int:
        """The epoch that what is drawn depends on."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Draws anew. Call it before the epoch's loop; workers that live on notice too."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Sample | BadClip | Failure:
        try:
            return self._train_sample(index) if self.train else self._test_sample(index)
        except UnreadableClipError as error:
            return BadClip(path=self.clips[index].path, reason=error.reason, index=index)
        except CacheError as error:
            if get_worker_info() is None:
                raise
            return Failure(message=str(error))  # raised here, it would come out with the worker's traceback

    @property
    def _opener(self) -> Callable[..., ClipReader]:
        return open_clip if self.cache is None else self.cache.open

    def _test_sample(self, index: int) -> Sample:
        file = self.clips[index]
        clip = read_views(
            file.path,
            self.preprocessing,
            window=file.window,
            decoder=self.decoder,
            num_clips=self.num_clips,
            num_crops=self.num_crops,
            opener=self._opener,
        )
        return Sample(clip=clip, label=self.targets[index], index=index)

    def _train_sample(self, index: int) -> Sample:
        rng = np.random.default_rng((self.seed, self.epoch, index))
        slot = self._slot
        if slot is None:
            return self.prepare(self.decode(index, rng), index, rng)
        since = slot.used
        try:
            sample = self.prepare(self.decode(index, rng), index, rng)
        except UnreadableClipError:
            slot.used = since
            raise
        return replace(sample, clip=slot.keep(sample.clip, since))

    def decode(self, index: int, rng: np.random.Generator) -> UInt8[Tensor, "T 3 H W"]:
        """The frames that training takes of a clip, and of them the crop, both drawn; in its own size."""
        file = self.clips[index]
        given = self.preprocessing
        return read_clip(
            file.path,
            lambda total: given.sample_train(total, rng),
            window=file.window,
            decoder=self.decoder,
            short_side=given.smallest_side,
            crop=lambda height, width: given.draw_crop(height, width, rng),
            allocate=self._allocate if self._slot is not None else None,
            opener=self._opener,
        )

    def prepare(self, crop: UInt8[Tensor, "T 3 H W"], index: int, rng: np.random.Generator) -> Sample:
        """The augmentation of what `decode` gave. Colours are changed at the model's size, and crops much larger are
        scaled before they travel; others are scaled where the model is (`Batch.clips`)."""
        height, width = crop.shape[-2:]
        large = height * width > _TRAVELS * self.preprocessing.size**2
        clip = self.preprocessing.to_size(crop) if large or self._augment.changes_pixels else crop
        clip, label = self._augment(clip, self.targets[index], rng)
        return Sample(clip=clip, label=label, index=index)

    def decode_only(self, index: int) -> int:
        """Decodes the frames that training takes of a clip in this epoch, and nothing else; their number. This is what
        `m2a bench data` measures a loader against."""
        file = self.clips[index]
        rng = np.random.default_rng((self.seed, self.epoch, index))
        side = self.preprocessing.smallest_side
        with self._opener(file.path, window=file.window, decoder=self.decoder, short_side=side) as clip:
            return clip.decode_only(self.preprocessing.sample_train(clip.num_frames, rng))

    def collate(self, samples: Sequence[Sample | BadClip | Failure]) -> Batch:
        """One batch of this set's samples: `collate_fn` of a loader."""
        slot, self._slot = self._slot, None
        return collate(samples, preprocessing=self.preprocessing, slot=slot)

    def __getitems__(self, indices: Sequence[int]) -> list[Sample | BadClip | Failure]:
        """The samples of a batch, in memory that goes over to the training process, where this is a worker of a
        `make_loader`."""
        self._slot = self._slots.take() if self._slots is not None else None
        return [self[index] for index in indices]

    def _allocate(self, shape: Sequence[int]) -> UInt8[np.ndarray, ...] | None:
        """A part of the slot, for no more than a clip's share of it."""
        share = math.prod(shape) <= self.most_bytes
        return self._slot.allocate(shape) if share and self._slot is not None else None

    @property
    def most_bytes(self) -> int:
        """Bytes of the largest sample there can be."""
        given = self.preprocessing
        pixels = given.num_frames * given.size**2 * (_TRAVELS if self.train else self.num_clips * self.num_crops)
        return 3 * pixels

    def use_slots(self, slots: WorkerSlots) -> None:
        """Has batches travel in these from now on; for a worker's copy of the set."""
        self._slots = slots


def read_views(
    path: str | Path,
    preprocessing: Preprocessing,
    *,
    window: tuple[int, int] | None = None,
    decoder: Decoder = "pyav",
    num_clips: int = 1,
    num_crops: int = 1,
    opener: Callable[..., ClipReader] = open_clip,
) -> UInt8[Tensor, "*V T 3 S S"]:
    """The views of a clip for testing: `num_clips` samples of its frames, `num_crops` crops of each; without the first
    axis when there is one. The clip is decoded once."""
    frames = preprocessing.num_frames

    def sample(total: int) -> list[int]:
        views = (preprocessing.sample_test(total, view=view, views=num_clips) for view in range(num_clips))
        return [index for view in views for index in view]

    side = preprocessing.smallest_side
    read = read_clip(path, sample, window=window, decoder=decoder, short_side=side, opener=opener)
    samples = read.split(frames)
    crops = [crop for clip in samples for crop in preprocessing.test_crops(clip, num_crops)]
    return crops[0] if len(crops) == 1 else torch.stack(crops)


class EpochSampler(Sampler[int]):
    """The order of the clips: their own, or one shuffled by the seed and the epoch."""

    def __init__(self, dataset: ClipDataset, *, shuffle: bool, seed: int) -> None:
        self.dataset = dataset
        self.shuffle = shuffle
        self.seed = seed

    def set_epoch(self, epoch: int) -> None:
        """Shuffles anew, and has the data set draw anew. Lightning calls this, other loops should."""
        self.dataset.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[int]:
        if not self.shuffle:
            return iter(range(len(self.dataset)))
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.dataset.epoch)
        return iter(torch.randperm(len(self.dataset), generator=generator).tolist())


class ClipLoader(DataLoader[Batch]):
    """A loader that raises what stopped a worker process, as the one message it is."""

    def __iter__(self) -> Any:
        return self._unless_failed(super().__iter__())

    def _unless_failed(self, batches: Any) -> Iterator[Batch]:
        for batch in batches:
            if batch.failure is not None:
                if self.num_workers:
                    batches._shutdown_workers()  # else they go on reading and writing ahead
                    self._iterator = None
                raise CacheError(batch.failure.message)
            yield batch


def make_loader(
    dataset: ClipDataset,
    *,
    batch_size: int,
    shuffle: bool,
    workers: int,
    seed: int,
    drop_last: bool = False,
    pin_memory: bool = False,
) -> DataLoader[Batch]:
    """Batches of a data set. Draws nothing from the global random state.

    Call `loader.sampler.set_epoch(epoch)` (Lightning does) or `dataset.set_epoch(epoch)` before each epoch's loop.
    `workers` are processes that stay alive between epochs, one thread each; 0 reads in this process.
    """
    if batch_size < 1 or workers < 0:
        raise ConfigError(f"batch_size={batch_size} must be at least 1, workers={workers} at least 0")
    pool = SlotPool.create(workers=workers, num_bytes=batch_size * dataset.most_bytes)
    return ClipLoader(
        dataset,  # type: ignore[arg-type]  # items are samples, what collate makes of them are batches
        batch_size=batch_size,
        sampler=EpochSampler(dataset, shuffle=shuffle, seed=seed),
        num_workers=workers,
        collate_fn=dataset.collate,
        drop_last=drop_last,
        pin_memory=pin_memory,
        persistent_workers=workers > 0,
        worker_init_fn=partial(_start_worker, pool=pool),
        generator=torch.Generator().manual_seed(seed),
    )


@contextmanager
def naming_dead_workers() -> Iterator[None]:
    """Raises DataError for torch's error about a decoding process that died, which says neither why nor what to do."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise DataError(
            f"A decoding process died: {str(error).strip().splitlines()[0]} Most often the machine has run out of "
            "memory, or of shared memory (/dev/shm): use fewer --workers, a smaller --batch-size or --size. If a clip "
            "makes its decoder crash, m2a data check names it."
        ) from error


def _start_worker(number: int, *, pool: SlotPool | None) -> None:
    torch.set_num_threads(1)
    worker = get_worker_info()
    if pool is not None and worker is not None and isinstance(worker.dataset, ClipDataset):
        worker.dataset.use_slots(pool.of(number))


def _validate_purpose(train: bool, augmentation: Augmentation, num_clips: int, num_crops: int) -> None:
    if augmentation != Augmentation() and not train:
        raise ConfigError("augmentation changes clips at random, which is for train=True; drop it for testing")
    if num_clips < 1 or num_crops < 1:
        raise ConfigError(f"num_clips={num_clips} and num_crops={num_crops} must both be at least 1")
    if train and (num_clips, num_crops) != (1, 1):
        raise ConfigError("several views of a clip are for testing; drop num_clips and num_crops for train=True")


def _validate(clips: Sequence[ClipFile], labels: Sequence[str], seed: int) -> None:
    if seed < 0:
        raise ConfigError(f"seed is {seed}; it must be 0 or more")
    if len(set(labels)) < len(labels):
        twice = sorted({label for label in labels if list(labels).count(label) > 1})
        raise DataError(f"labels are there twice: {first_few(twice)}; each may appear once")
    known = set(labels)
    unknown = [clip for clip in clips if clip.label not in known]
    if unknown:
        raise DataError(
            f"{len(unknown)} of {len(clips)} clips have a label that is not among the {len(labels)} given, "
            f"first {unknown[0].label!r} of {unknown[0].path}; pass the labels of the set the clips are from"
        )
