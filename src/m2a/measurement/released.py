"""Reading clips and running a model the way the paper's code does: what the library is measured against, end to end.

That code reads each frame as a PIL image, scales and crops it with PIL, turns it into floating point where it was read,
and runs the mechanism one operation after the other in torch's default layout, in float32, without compiling. It comes
with a list of JPEG files; a video is decoded here by PyAV, up to the last frame wanted, those wanted as PIL images.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import functional as F

from m2a.data.clipset import ClipFile, is_frame, natural_key
from m2a.data.preprocessing import Preprocessing
from m2a.data.readers import open_clip


class PilClips(Dataset[tuple[Tensor, int]]):
    """Clips as float tensors (T, 3, S, S), normalised, with their class. The frames and crops drawn for training are
    those that `m2a.data.ClipDataset` draws, of the same seed."""

    def __init__(
        self, clips: Sequence[ClipFile], labels: Sequence[str], preprocessing: Preprocessing, *, train: bool
    ) -> None:
        self.clips = tuple(clips)
        self.labels = tuple(labels)
        self.preprocessing = preprocessing
        self.train = train
        self.totals = [num_frames_of(clip.path) if clip.window is None else clip.window[1] for clip in self.clips]

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> tuple[Float[Tensor, "T 3 S S"], int]:
        clip, given = self.clips[index], self.preprocessing
        rng = np.random.default_rng((0, 0, index))
        total, start = self.totals[index], 0 if clip.window is None else clip.window[0]
        sampled = given.sample_train(total, rng) if self.train else given.sample_test(total)
        images = _images(clip.path, [start + place for place in sampled])
        if self.train:
            top, left, height, width = given.draw_crop(images[0].height, images[0].width, rng)
            box = (left, top, left + width, top + height)
            images = [image.crop(box).resize((given.size, given.size), Image.Resampling.BILINEAR) for image in images]
        else:
            images = [F.center_crop(F.resize(image, [given.short_side]), [given.size]) for image in images]
        pixels = torch.stack([F.to_tensor(image) for image in images])
        return F.normalize(pixels, list(given.mean), list(given.std)), self.labels.index(clip.label)


def released_loader(
    clips: Sequence[ClipFile],
    labels: Sequence[str],
    preprocessing: Preprocessing,
    *,
    train: bool,
    batch_size: int,
    workers: int,
) -> DataLoader[tuple[Tensor, int]]:
    """Batches of `PilClips`, in order, by torch's own loader."""
    return DataLoader(
        PilClips(clips, labels, preprocessing, train=train),
        batch_size=batch_size,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=_one_thread,
    )


def released_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, clips: Float[Tensor, "B T 3 S S"], targets: Tensor
) -> None:
    """One training step: cross entropy, gradients of a norm of at most 20, a step of the optimizer."""
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(clips), targets).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 20.0)
    optimizer.step()


@cache
def num_frames_of(path: Path) -> int:
    """Of a clip; the paper's code has the numbers from its lists."""
    with open_clip(path) as clip:
        return clip.num_frames


def _images(path: Path, wanted: Sequence[int]) -> list[Image.Image]:
    if path.is_dir():
        names = sorted((child.name for child in path.iterdir() if is_frame(child.name)), key=natural_key)
        return [Image.open(path / names[index]).convert("RGB") for index in wanted]
    import av  # takes a while to load, and folders of frames do not need it

    with av.open(str(path.absolute())) as container:
        container.streams.video[0].codec_context.thread_count = 1
        last = max(wanted)
        found: dict[int, Image.Image] = {}
        for index, frame in enumerate(container.decode(video=0)):
            if index in wanted:
                found[index] = frame.to_image()
            if index == last:
                break
    return [found[index] for index in wanted]


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
