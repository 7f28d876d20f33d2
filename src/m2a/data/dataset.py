"""Clips as torch items and batches. A clip that cannot be read is named in the batch, never replaced by another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from ..errors import ConfigError, DataError, UnreadableClipError
from .batch import BadClip as BadClip
from .batch import Batch as Batch
from .batch import Sample as Sample
from .batch import collate as collate
from .clipset import ClipFile, first_few
from .labels import flip_map
from .preprocessing import Preprocessing
from .readers import read_clip


class ClipDataset(Dataset[Sample | BadClip]):
    """Labelled clips, decoded and cropped when asked for.

    For training frames and crops are drawn at random, and with `flip` half of the clips are mirrored, their labels
    with them (`flip_map`); clips whose mirrored label is not in the set stay as they are. What is drawn for a clip
    depends on the seed, the epoch and the clip's position alone, whichever worker reads it.
    """

    def __init__(
        self,
        clips: Sequence[ClipFile],
        *,
        labels: Sequence[str],
        preprocessing: Preprocessing,
        train: bool,
        flip: bool = False,
        seed: int = 0,
    ) -> None:
        self.clips = tuple(clips)
        self.labels = tuple(labels)
        self.preprocessing = preprocessing
        self.train = train
        self.seed = seed
        _validate(self.clips, self.labels, train=train, flip=flip, seed=seed)
        classes = {label: index for index, label in enumerate(self.labels)}
        self.targets = tuple(classes[clip.label] for clip in self.clips)
        self._flips = flip_map(self.labels) if flip else (None,) * len(self.labels)
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

    def __getitem__(self, index: int) -> Sample | BadClip:
        try:
            return self._train_sample(index) if self.train else self._test_sample(index)
        except UnreadableClipError as error:
            return BadClip(path=self.clips[index].path, reason=error.reason, index=index)

    def _test_sample(self, index: int) -> Sample:
        file = self.clips[index]
        clip = read_clip(file.path, self.preprocessing.sample_test, window=file.window)
        return Sample(clip=self.preprocessing.test_transform(clip), label=self.targets[index], index=index)

    def _train_sample(self, index: int) -> Sample:
        file = self.clips[index]
        rng = np.random.default_rng((self.seed, self.epoch, index))
        clip = read_clip(file.path, lambda total: self.preprocessing.sample_train(total, rng), window=file.window)
        clip = self.preprocessing.train_transform(clip, rng)
        label, mirrored = self.targets[index], self._flips[self.targets[index]]
        if mirrored is not None and rng.random() < 0.5:
            return Sample(clip=clip.flip(-1), label=mirrored, index=index)
        return Sample(clip=clip, label=label, index=index)


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
    return DataLoader(
        dataset,  # type: ignore[arg-type]  # items are samples, what collate makes of them are batches
        batch_size=batch_size,
        sampler=EpochSampler(dataset, shuffle=shuffle, seed=seed),
        num_workers=workers,
        collate_fn=collate,
        drop_last=drop_last,
        pin_memory=pin_memory,
        persistent_workers=workers > 0,
        worker_init_fn=_start_worker,
        generator=torch.Generator().manual_seed(seed),
    )


def _start_worker(_: int) -> None:
    torch.set_num_threads(1)


def _validate(clips: Sequence[ClipFile], labels: Sequence[str], *, train: bool, flip: bool, seed: int) -> None:
    if flip and not train:
        raise ConfigError("flip=True mirrors clips at random, which is for train=True; drop it for testing")
    if seed < 0:
        raise ConfigError(f"seed is {seed}; it must be 0 or more")
    if len(set(labels)) < len(labels):
        twice = sorted({label for label in labels if list(labels).count(label) > 1})
        raise DataError(f"labels are there twice: {first_few(twice)}; each may appear once")
    unknown = [clip for clip in clips if clip.label not in set(labels)]
    if unknown:
        raise DataError(
            f"{len(unknown)} of {len(clips)} clips have a label that is not among the {len(labels)} given, "
            f"first {unknown[0].label!r} of {unknown[0].path}; pass the labels of the set the clips are from"
        )
