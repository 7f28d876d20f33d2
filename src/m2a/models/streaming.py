"""Answers in a stream, each frame going through the network once (TSM, section 4.2: "Online Models with Uni-directional
TSM").

What a frame needs of those before it, such as the channels that a shift takes from the one before, is kept, and given
to the next (`m2a.mechanisms.streamed`). So an answer costs one frame of the network, where a window that slides costs a
clip. It is for models without a mechanism, and for those whose mechanism looks back alone: `tsm`, `m2a` and its halves
with `direction="unidirectional"`.

Shapes: B streams, C channels, H, W, K classes, F features.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from m2a.data.preprocessing import Preprocessing
from m2a.errors import ClipShapeError, ConfigError, first_line
from m2a.insertion.insert import MECHANISM, insertions, mechanisms_of, site_frames
from m2a.mechanisms.streamed import Past, looks_back_alone, put_streamed_parts
from m2a.models.classifier import VideoClassifier
from m2a.models.device import kind_of_input
from m2a.models.groups import classifier_in
from m2a.models.inference import for_inference, noise

_ROUNDING, _ROUNDING_OF_16_BITS = 0.02, 0.1  # of a norm; also where 32 bits are multiplied in fewer, as TF32 does

_SLIDE = "Slide a window (m2a predict --sliding, m2a.evaluation.predict_timeline)."


class Stream:
    """What a classifier says of a stream, or of B side by side, as frames come in: `step(frame)` gives probabilities.

    After t frames, up to the T of the model's clips, they are, to rounding, what the model gives for a clip of these t
    frames. From then on the consensus is that of the last T frames, of which each knows of those before it, also where
    they are further back; an attention looks at the last T.

    It has a copy of the model as it is when it is made, with batch norms folded into convolutions. The pace of frames
    should be that of training, where T frames are spread over a clip: of clips of 2 seconds and T = 8, four a second.

    Args:
        model: stays as it is.

    Raises ConfigError for a model that cannot answer a frame before the next one is there: with a mechanism that does
    not look back alone (`direction="unidirectional"`), of a 3D network, or where frames one by one do not give what a
    clip does, as it is tried on noise.
    """

    def __init__(self, model: VideoClassifier):
        self.network = StreamNetwork(model)
        self.labels = model.labels
        self.preprocessing: Preprocessing = model.preprocessing
        self.num_frames = model.num_frames
        """T: how many of the last frames an answer is the consensus of."""
        self._consensus = self.network.model.consensus
        self.reset()

    def reset(self, streams: Sequence[int] | None = None) -> None:
        """Begins anew: the next frame is the first of a stream.

        Args:
            streams: which of those side by side, from 0; the others go on. None: all, which may be of another number
                and size from then on.

        Raises ConfigError for a stream that is not there.
        """
        if streams is None:
            self._shape: tuple[int, ...] | None = None
            self._memory: Sequence[Tensor] = ()
            self._counts: list[int] = []
            self._last: deque[tuple[Tensor, Tensor]] = deque(maxlen=self.num_frames)
        elif self._shape is not None:
            self._memory = begun_anew(self._memory, streams)
            self._counts = [0 if stream in streams else count for stream, count in enumerate(self._counts)]

    @torch.no_grad()
    def step(self, frames_uint8_BCHW: UInt8[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        """Probabilities after the next frame of each of B streams, decoded and cropped by `preprocessing` but not
        normalised: of one frame (3, H, W), `preprocessing.test_transform(frame[None])` is that.

        Raises ClipShapeError for another rank or type, and where the shape is not that of the frame before.
        """
        given: object = frames_uint8_BCHW
        if not isinstance(given, Tensor):
            raise ClipShapeError(f"A step takes a tensor; got a {type(given).__name__}. Of an array: torch.from_numpy.")
        shape = tuple(frames_uint8_BCHW.shape)
        if len(shape) != 4 or frames_uint8_BCHW.dtype != torch.uint8:
            raise ClipShapeError(
                f"A step takes a frame of each stream, uint8 (B, 3, H, W), 0 to 255; got {frames_uint8_BCHW.dtype} "
                f"{shape}. Of one frame (3, H, W) that is frame[None]."
            )
        if shape != (self._shape or shape):
            raise ClipShapeError(
                f"The frames before were {self._shape}; got {shape}. Call reset() where another stream begins."
            )
        device, dtype = kind_of_input(self.network.model)
        frames = self.preprocessing.normalize(frames_uint8_BCHW.to(device)).to(dtype)
        scores, features, *memory = self.network(frames, *self._memory)
        self._shape, self._memory = shape, memory  # after it: a frame that fails leaves the stream as it was
        self._last.append((scores, features))
        self._counts = [min(count + 1, self.num_frames) for count in self._counts or [0] * len(scores)]
        return self._agreed().float().softmax(-1)

    def _agreed(self) -> Float[Tensor, "B K"]:
        """The consensus of each stream's frames, at most the last T."""
        scores_BSK, features_BSF = (torch.stack(parts, dim=1) for parts in zip(*self._last, strict=True))
        agreed_BK = torch.empty_like(scores_BSK[:, 0])
        for count in set(self._counts):  # streams that began together have as many
            rows = [stream for stream, other in enumerate(self._counts) if other == count]
            agreed_BK[rows] = self._consensus(scores_BSK[rows, -count:], features_BSF[rows, -count:])
        return agreed_BK


def begun_anew(memory: Sequence[Tensor], streams: Sequence[int]) -> list[Tensor]:
    """A memory, (B, ...) each, with the zeros in it that begin these streams. Raises ConfigError for one that is not
    there."""
    total = len(memory[0])
    if wrong := [stream for stream in streams if not 0 <= stream < total]:
        raise ConfigError(f"There are {total} streams, 0 to {total - 1}; got {', '.join(map(str, wrong))}.")
    rows = torch.tensor(list(streams), dtype=torch.long, device=memory[0].device)
    return [kept.index_fill(0, rows, 0) for kept in memory]


class StreamNetwork(nn.Module):
    """One step as a function: frames, normalised, and what was kept of the frames before (nothing for the first frame)
    -> scores (B, K) and features (B, F) of these frames alone, and what to keep: how many frames there were, at most
    the T of a clip, (B,), and a tensor of each part of a mechanism that looks back, in the order of the sites. Zeros of
    these shapes begin a stream, too."""

    def __init__(self, model: VideoClassifier):
        super().__init__()
        model = classifier_in(model, "m2a.Stream")
        _check(model)
        with torch.autocast(kind_of_input(model)[0].type, enabled=False):
            self.model = for_inference(model)
            clips = noise(self.model, 2)
            with torch.no_grad():
                expected = [self.model.frame_features(clips), self.model(clips)]
        self.num_frames = self.model.num_frames
        counts = site_frames(self.model.backbone)
        for count in counts:  # which the model shares; `num_frames` refuses 1 for them, which is no clip
            count.value = 1
        if not counts:
            self.model.num_frames = 1
        self._past = Past(torch.zeros(0), [])
        for site, mechanism in mechanisms_of(self.model.backbone):
            streamed = put_streamed_parts(mechanism, self._past, self.num_frames)
            self.model.backbone.set_submodule(f"{site}.{MECHANISM}", streamed)
        self.requires_grad_(False)
        with torch.autocast(clips.device.type, enabled=False):
            _check_same(self, clips, expected)

    def forward(self, frames_BCHW: Float[Tensor, "B C H W"], *memory: Tensor) -> tuple[Tensor, ...]:
        count_B = memory[0] if memory else torch.zeros(len(frames_BCHW), device=frames_BCHW.device)
        nothing = [None] * len(self._past.kept)
        self._past.count, self._past.kept[:] = count_B, memory[1:] or nothing
        features_BF = self.model.frame_features(frames_BCHW[:, None])[:, 0]
        scores_BK = self.model.head(self.model.dropout(features_BF[:, None]))[:, 0]
        found = [tensor for tensor in self._past.kept if tensor is not None]
        self._past.kept[:] = nothing
        return scores_BK, features_BF, (count_B + 1).clamp(max=self.num_frames), *found


def _check(model: VideoClassifier) -> None:
    """Raises ConfigError where a frame would have to wait for the next one."""
    if model.takes_clips:
        raise ConfigError(
            "A 3D network looks at frames that come later, so that none can be answered before. m2a.Stream takes 2D "
            f"networks, without a mechanism or with one that looks back alone (direction='unidirectional'). {_SLIDE}"
        )
    inserted = insertions(model.backbone)
    for site, mechanism in mechanisms_of(model.backbone):
        said = {looks_back_alone(part) for part in mechanism.modules()}
        if False in said:
            raise ConfigError(
                f"{inserted[site].spec} at {site!r} may look at frames that come later, so that none can be answered "
                "before. m2a.Stream takes models without a mechanism, and with tsm, m2a, m2a-motion or m2a-attention "
                f"of direction='unidirectional'. {_SLIDE}"
            )
        if None in said:
            raise ConfigError(
                f"{inserted[site].spec} at {site!r} looks at frames that come later, so that none can be answered "
                'before. Train with direction="unidirectional" (--mechanism-options.direction unidirectional). '
                f"Or: {_SLIDE}"
            )


@torch.no_grad()
def _check_same(network: StreamNetwork, clips: Tensor, expected: Sequence[Tensor]) -> None:
    """Raises ConfigError where frames one by one do not give what the model gives for a clip of them: a network of
    one's own may mix the frames of a batch or call a layer twice, a head may look at several frames, and what a
    subclass or a hook makes of the scores is not in a step."""
    if not all(tensor.isfinite().all() for tensor in expected):
        raise ConfigError("This model gives scores that are nan or infinite; its weights may be.")
    scores, features, memory = [], [], list[Tensor]()
    try:
        for frames in clips.unbind(1):
            scores_BK, features_BF, *memory = network(frames, *memory)
            scores.append(scores_BK)
            features.append(features_BF)
        features_BTF = torch.stack(features, dim=1)
        found = [features_BTF, network.model.consensus(torch.stack(scores, dim=1), features_BTF)]
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        raise ConfigError(f"This model cannot be run frame by frame ({first_line(error)}). {_SLIDE}") from error
    share = _ROUNDING if clips.dtype in (torch.float32, torch.float64) else _ROUNDING_OF_16_BITS
    for ours, theirs in zip(found, expected, strict=True):
        if ours.shape != theirs.shape or not (ours - theirs).norm() <= share * theirs.norm():
            raise ConfigError(
                "This model does not give a frame alone what it gives it in a clip: its network mixes the frames of a "
                "batch or calls a layer with a mechanism more than once, its head looks at several frames, or its "
                f"scores are changed by a subclass or a hook. It cannot be run frame by frame. {_SLIDE}"
            )
