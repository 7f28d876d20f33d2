"""What a model says of a source that goes on, as its frames come."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from math import inf
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from m2a.data.live import Pace
from m2a.errors import ClipShapeError, ConfigError
from m2a.evaluation.predict import Guess, likeliest
from m2a.evaluation.predictor import Predictor, Streamer, labels_of, stream_of
from m2a.evaluation.scores import checked, predict_views
from m2a.export import StreamFile
from m2a.models.modes import evaluating


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the model took a moment for: the likeliest labels, best first."""

    time: float
    """Seconds, of the last frame that it looked at."""
    guesses: tuple[Guess, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"time": self.time, "top": [asdict(guess) for guess in self.guesses]}


class Watcher:
    """Names the action in frames that come one after the other, with their times, from a camera say:

        watcher = Watcher(model)
        for time, frame in camera:
            if watcher.is_due(time) and (answer := watcher.see(time, frame)):
                ...

    T frames, of the model's clips, are taken every `window` seconds; the others are passed by. Each answer is of the
    last T of them, which go through the network together, so that there is none before T were seen. With `stream` each
    goes through alone, and there is an answer from the first on (`m2a.Stream`). Where time jumps back, or more than a
    window ahead, frames before are forgotten.

    Args:
        model: with labels. It stays as it is; for `stream` one that looks back alone, or a file that one step of it was
            exported to (`m2a.export.load_stream`).
        window: seconds that T frames are of: those of the clips that the model was trained on.
        stream: answer frame by frame.
        top_k: labels of each answer.

    Raises ConfigError for a model without labels, or that cannot answer a stream, and numbers that cannot work.
    """

    def __init__(self, model: Predictor | Streamer, *, window: float = 2.0, stream: bool = False, top_k: int = 5):
        if not 0 < window < inf:
            raise ConfigError(f"window={window} must be a finite number of seconds above 0, such as 2.")
        if top_k < 1:
            raise ConfigError(f"top_k={top_k} must be at least 1.")
        if not stream and isinstance(model, StreamFile):
            raise ConfigError(f"{model.file} is one step of a stream and takes no clips. Add stream=True (--stream).")
        self.labels = labels_of(model)
        self.window = window
        self.top_k = top_k
        self.every = window / model.num_frames
        """Seconds from one frame that is looked at to the next."""
        self.num_missed = 0
        """Frames that were due and did not come."""
        self._model = model
        self._stream = stream_of(model) if stream else None
        self._pace = Pace(self.every)
        self._frames: deque[Tensor] = deque(maxlen=model.num_frames)
        self._last = -inf

    def is_due(self, time: float) -> bool:
        """Whether the frame of that time, in seconds, is one to look at."""
        return self._pace.is_due(time)

    def see(self, time: float, frame: UInt8[Tensor, "3 H W"], *, answer: bool = True) -> Answer | None:
        """Looks at a frame of that time, in seconds, decoded as it came.

        None where too few were seen for an answer, and with `answer` false, which spares a pass where more frames wait
        already; a stream has it anyway. Where one was due before and did not come, the frame before stands for it; not
        in a stream, which would take as many passes.

        Raises ClipShapeError for what is no frame, ConfigError for what is no time, and DivergedError for scores that
        are nan or infinite.
        """
        _check(time, frame)
        jump = time - self._last
        missed = self._pace.take(time)
        if jump < -self.every or jump > self.window + self.every:
            self._frames.clear()
            if self._stream is not None:
                self._stream.reset()
        else:  # the frame before has stood where none came
            self._frames.extend([self._frames[-1]] * min(missed, self._model.num_frames) if self._frames else ())
        self._last = time
        self.num_missed += missed
        cropped = self._model.preprocessing.test_transform(frame[None])
        probabilities = self._probabilities(cropped, f"the frame at {time:.2f} s", answer)
        if probabilities is None:
            return None
        return Answer(time=time, guesses=likeliest(probabilities, self.labels, self.top_k))

    def _probabilities(self, frame: UInt8[Tensor, "1 3 S S"], name: str, wanted: bool) -> Float[Tensor, " K"] | None:
        if self._stream is not None:
            found = self._stream.step(frame)
            return checked(found.cpu(), [name], self._model)[0] if wanted else None
        self._frames.append(frame)
        if not wanted or len(self._frames) < self._model.num_frames:
            return None
        assert not isinstance(self._model, StreamFile)
        with evaluating(self._model):
            return predict_views(self._model, torch.cat([*self._frames])[None], [name])[0]


def _check(time: float, frame: Any) -> None:
    """Raises for what is no time or no frame."""
    if not abs(time) < inf:
        raise ConfigError(f"time={time} must be a finite number of seconds.")
    shape = tuple(getattr(frame, "shape", ()))
    if not isinstance(frame, Tensor) or frame.dtype != torch.uint8 or len(shape) != 3 or shape[0] != 3:
        kind = getattr(frame, "dtype", type(frame).__name__)
        raise ClipShapeError(
            f"A frame is a tensor uint8 (3, H, W), 0 to 255 of RGB; got {kind} {shape}. Of an array (H, W, 3) that is "
            "torch.from_numpy(array).permute(2, 0, 1)."
        )
