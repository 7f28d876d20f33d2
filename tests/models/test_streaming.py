"""A stream is answered frame by frame as a clip of the frames so far is."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

import m2a
from m2a.errors import ClipShapeError, ConfigError
from m2a.insertion.insert import mechanisms_of
from m2a.models.streaming import StreamNetwork

FRAMES, CLASSES = 5, 7
ONLINE = {"mechanism": "tsm", "direction": "unidirectional"}
BACK = ONLINE | {"mechanism": "m2a"}


def classifier(backbone: str = "test_resnet", *, size: int = 32, **options: Any) -> m2a.VideoClassifier:
    """With weights and statistics that are no starting ones, so that each layer and each shift shows."""
    torch.manual_seed(0)
    model = m2a.create_model(backbone, num_classes=CLASSES, num_frames=FRAMES, size=size, **options).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(std=0.3)
                assert module.running_mean is not None
                module.running_mean.normal_(std=0.1)
        for name, parameter in model.named_parameters():
            if name.endswith(("mechanism.scale", "mechanism.1.scale")):
                parameter.uniform_(0.3, 1)
            elif "mechanism" in name and name.endswith(("reduce.weight", "expand.weight", "skip_weight")):
                parameter.normal_(std=0.5)
        model.head.weight.normal_(std=0.2)
    return model


def pixels(frames: int, *, size: int = 32, streams: int = 2) -> Tensor:
    return torch.randint(0, 256, (streams, frames, 3, size, size), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("backbone", "options"),
    [
        ("test_resnet", {"mechanism": "none"}),
        ("test_resnet", ONLINE),
        ("test_resnet", ONLINE | {"padding_mode": "replicate"}),
        ("test_resnet", ONLINE | {"padding_mode": "stream"}),
        ("test_resnet", ONLINE | {"consensus": "attention"}),
        ("test_resnet", ONLINE | {"init": "identity"}),
        ("test_resnet", ONLINE | {"mechanism": "tsm+tsm"}),
        ("test_resnet", BACK),
        ("test_resnet", BACK | {"boundary": "zero", "inner_skip": "learned"}),
        ("test_resnet", BACK | {"mechanism": "m2a-motion"}),
        ("test_resnet", BACK | {"mechanism": "m2a-attention"}),
        ("test_resnet", BACK | {"mechanism": "m2a+tsm", "init": "identity"}),
        ("test_resnet", BACK | {"mechanism": "m2a-plus", "time_embedding": False}),
        ("test_resnet", ONLINE | {"position": "after", "where": ["layer2.0.conv1", "layer3.0.conv2"]}),
        ("mobilenetv2_035", ONLINE),
        ("test_vit", ONLINE | {"size": 160}),
    ],
)
def test_after_each_frame_it_says_what_the_model_says_of_the_frames_so_far(
    backbone: str, options: dict[str, Any]
) -> None:
    model = classifier(backbone, **options)
    clips = pixels(FRAMES, size=options.get("size", 32))
    found = torch.stack([*map((stream := m2a.Stream(model)).step, clips.unbind(1))])
    for frames in range(2, FRAMES + 1):
        model.num_frames = frames
        expected = model.predict_probabilities(clips[:, :frames])
        torch.testing.assert_close(found[frames - 1], expected, atol=1e-5, rtol=1e-3)
    if options["mechanism"] != "none":  # it is not blind to what came before
        assert (model.predict_probabilities(clips.flip(1)) - expected).abs().max() > 1e-3
    assert all((one - other).abs().max() > 1e-4 for one, other in pairwise(found))
    assert stream.num_frames == FRAMES  # of the model as it was


def test_training_for_streams_has_before_each_clip_what_a_stream_has() -> None:
    """Clip 0 begins a stream, 1 follows clip 2, and the first frame of 2 has stood still before it; 3 and 4 follow as
    clips 0 and 1 do, the last one behind the first. In training all of it is one pass."""
    model = classifier("test_resnet", dropout=0.0, **ONLINE | {"padding_mode": "stream"})
    clips = pixels(FRAMES, streams=5)
    inputs = model.preprocessing.normalize(clips)
    plain = model(inputs).softmax(-1)
    for module in model.modules():
        module.training = isinstance(module, m2a.mechanisms.TemporalShift)
    trained = model(inputs).softmax(-1)

    def streamed(*parts: Tensor) -> Tensor:
        stream = m2a.Stream(model.eval())
        return [stream.step(frame[None])[0] for part in parts for frame in part][-1]

    still = clips[2, :1].expand(20, -1, -1, -1)
    for number, before in {0: [], 1: [still, clips[2]], 2: [still], 3: [], 4: [clips[0]]}.items():
        expected = streamed(*before, clips[number])
        torch.testing.assert_close(trained[number], expected, atol=1e-5, rtol=1e-3)
        assert bool((trained[number] - plain[number]).abs().max() > 1e-3) == (number % 3 != 0)


def test_in_a_longer_stream_frames_know_of_those_before_the_window() -> None:
    """Against the features of one long clip: nothing in them comes from later frames."""
    model = classifier(**ONLINE)
    clips, stream = pixels(FRAMES + 6), m2a.Stream(model)
    for frame in clips.unbind(1):
        found = stream.step(frame)
    model.num_frames = FRAMES + 6
    scores_BTK = model.frame_scores(model.preprocessing.normalize(clips))
    torch.testing.assert_close(found, scores_BTK[:, -FRAMES:].mean(1).softmax(-1), atol=1e-5, rtol=1e-3)


def test_to_motion_a_scene_that_has_stood_still_is_a_beginning() -> None:
    """What M2A's motion makes of a frame with none before it is what it makes of one that has not moved; a shift of
    zeros tells them apart."""

    def answers(model: m2a.VideoClassifier, still: int) -> Tensor:
        stream = m2a.Stream(model)
        frames = [clips[:, :1]] * still + [clips]
        return [stream.step(frame) for frame in torch.cat(frames, dim=1).unbind(1)][-1]

    clips = pixels(FRAMES)
    for options, same in ((BACK | {"mechanism": "m2a-motion"}, True), (ONLINE, False)):
        model = classifier(**options)
        off = (answers(model, still=9) - answers(model, still=0)).abs().max()
        assert bool(off < 1e-5) is same


def test_an_attention_looks_at_the_frames_of_a_clip() -> None:
    """A site alone: the answer of frame t is that of the clip of the last T frames, where motion begins with the one
    before them."""
    model = classifier(where=["layer1.0.conv1"], **BACK | {"mechanism": "m2a-attention"})
    clips, stream = pixels(FRAMES + 6), m2a.Stream(model)
    for frame in clips.unbind(1):
        found = stream.step(frame)
    each = [model.frame_scores(model.preprocessing.normalize(clips[:, end - FRAMES : end])) for end in range(7, 12)]
    expected = torch.stack([scores_BTK[:, -1] for scores_BTK in each]).mean(0).softmax(-1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-3)


def test_a_new_stream_begins_anew() -> None:
    stream, clips = m2a.Stream(classifier(**ONLINE)), pixels(4)
    first = [stream.step(frame) for frame in clips.unbind(1)]
    stream.reset()
    assert all(map(torch.equal, first, (stream.step(frame) for frame in clips.unbind(1))))
    stream.reset()
    assert stream.step(clips[:1, 0]).shape == (1, CLASSES)  # also of another number of streams


@pytest.mark.parametrize("options", [ONLINE | {"consensus": "attention"}, BACK | {"boundary": "zero"}, BACK])
def test_some_of_several_streams_begin_anew(options: dict[str, Any]) -> None:
    """Each says what it says alone, whatever the others do."""
    model = classifier(**options)
    clips, stream = pixels(FRAMES + 2, streams=3), m2a.Stream(model)
    beginnings = {2: [1], 4: [0, 1]}  # before which frame which begin
    stream.reset([1])  # before there are any
    found = []
    for number, frames in enumerate(clips.unbind(1)):
        if number in beginnings:
            stream.reset(beginnings[number])
        found.append(stream.step(frames))
    for row, starts in enumerate([(0, 4), (0, 2, 4), (0,)]):
        alone = m2a.Stream(model)
        for number, frame in enumerate(clips[row]):
            if number in starts:
                alone.reset()
            torch.testing.assert_close(found[number][row], alone.step(frame[None])[0], atol=1e-5, rtol=1e-3)
    with pytest.raises(ConfigError, match=r"There are 3 streams, 0 to 2; got 3, -1\."):
        stream.reset([0, 3, -1])
    following = m2a.Stream(model)
    for frames in clips[2:].unbind(1):
        following.step(frames)
    frames = pixels(1, streams=3)[:, 0]
    torch.testing.assert_close(stream.step(frames)[2], following.step(frames[2:])[0], atol=1e-5, rtol=1e-3)


def test_the_model_goes_its_own_way() -> None:
    model = classifier(**ONLINE).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    stream, clips = m2a.Stream(model), pixels(3)
    first = stream.step(clips[:, 0])
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model.num_frames == m2a.insertion.get_num_frames(model.backbone) == FRAMES
    nn.init.zeros_(model.head.weight)
    stream.reset()
    assert torch.equal(stream.step(clips[:, 0]), first)


def test_in_half_precision() -> None:
    """It is as near to the model as rounding, and nearer than without what it has kept."""
    model, clips = classifier(**ONLINE).bfloat16(), pixels(FRAMES)
    expected, stream = model.predict_probabilities(clips), m2a.Stream(model)
    for frame in clips.unbind(1):
        found = stream.step(frame)
    assert found.dtype == torch.float32
    network, frames = stream.network, model.preprocessing.normalize(clips).bfloat16()
    forgetful = torch.stack([network(frame)[0] for frame in frames.unbind(1)]).mean(0).softmax(-1)
    off, off_without = ((one - expected).abs().max() for one in (found, forgetful))
    assert off < 0.01
    assert off < off_without / 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mechanism": "m2a"}, r"m2a at 'layer1\.0\.conv1' looks at frames that come later.*Train with direction"),
        (
            {"mechanism": "m2a:tam", "direction": "unidirectional"},
            r"m2a:tam at 'layer1\.0\.conv1' may look at frames that come later.*with tsm, m2a, m2a-motion or m2a-att",
        ),
        ({"mechanism": "tea:tam"}, r"tea:tam at 'layer1\.0\.conv1' may look at frames that come later"),
        ({"mechanism": "tsm"}, r"tsm at 'layer1\.0\.conv1' looks at frames that come later.*direction"),
        ({"backbone": "resnet10t", "inflate": True}, r"A 3D network looks at frames that come later"),
    ],
)
def test_what_looks_ahead_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        m2a.Stream(classifier(**options))


def test_a_network_that_mixes_frames_is_refused() -> None:
    class Mixing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.num_features = timm.create_model("test_resnet", num_classes=0), 128

        def forward(self, x_NCHW: Tensor) -> Tensor:
            return self.net(x_NCHW - x_NCHW.mean(0))

    with pytest.raises(ConfigError, match="mixes the frames of a batch or calls a layer"):
        m2a.Stream(m2a.VideoClassifier(Mixing(), CLASSES, num_frames=FRAMES))


class _LooksAround(nn.Linear):
    def forward(self, x_BSF: Tensor) -> Tensor:
        return super().forward((x_BSF - 0.9 * x_BSF.mean(1, keepdim=True)).relu())


class _Calibrated(m2a.VideoClassifier):
    def forward(self, clips_BTCHW: Tensor) -> Tensor:
        return super().forward(clips_BTCHW) / 5


def test_what_is_more_than_a_head_of_each_frame_is_refused() -> None:
    looking, calibrated, hooked = classifier(**ONLINE), classifier(**ONLINE), classifier(**ONLINE)
    looking.head = _LooksAround(looking.head.in_features, CLASSES)
    calibrated.__class__ = _Calibrated
    hooked.register_forward_hook(lambda _, args, scores: scores / 5)
    for model in (looking, calibrated, hooked):
        with pytest.raises(ConfigError, match="its head looks at several frames, or its scores are changed"):
            m2a.Stream(model)
    nan = classifier(**ONLINE)
    nn.init.constant_(nan.head.weight, torch.nan)
    with pytest.raises(ConfigError, match="scores that are nan"):
        m2a.Stream(nan)


def test_it_is_made_where_32_bits_are_multiplied_in_fewer() -> None:
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        m2a.Stream(classifier(**ONLINE))
    finally:
        torch.set_float32_matmul_precision(before)
    with torch.autocast("cpu", torch.bfloat16):
        assert m2a.Stream(classifier(**ONLINE)).step(pixels(1)[:, 0]).isfinite().all()


@pytest.mark.usefixtures("as_users_run_it")
def test_frames_that_do_not_fit() -> None:
    stream, frame = m2a.Stream(classifier(**ONLINE)), pixels(1)[:, 0]
    for wrong, message in (
        (frame[0], r"uint8 \(B, 3, H, W\).*got torch.uint8 \(3, 32, 32\).*frame\[None\]"),
        (frame.float(), r"got torch.float32 \(2, 3, 32, 32\)"),
        (frame.numpy(), r"got a ndarray"),
    ):
        with pytest.raises(ClipShapeError, match=message):
            stream.step(wrong)
    stream.step(frame)
    with pytest.raises(ClipShapeError, match=r"The frames before were \(2, 3, 32, 32\); got \(1, 3, 32, 32\)"):
        stream.step(frame[:1])
    with pytest.raises(ConfigError, match=r"m2a\.Stream takes a VideoClassifier"):
        m2a.Stream(nn.Linear(2, 2))


def test_a_frame_costs_a_frame() -> None:
    model = classifier(**ONLINE)
    network, frame = StreamNetwork(model), torch.randn(1, 3, 32, 32)
    counted: list[tuple[int, ...]] = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _, args, out: counted.append(tuple(args[0].shape)))
    _, _, *memory = network(frame)
    network(frame, *memory)
    assert counted
    assert {shape[0] for shape in counted} == {1}
    channels = [mechanism.channels for _, mechanism in mechanisms_of(model.backbone)]
    count, *kept = memory
    assert count.tolist() == [1]
    assert [tensor.shape[1] for tensor in kept] == [count // 8 for count in channels]
