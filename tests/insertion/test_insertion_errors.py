"""What cannot be inserted: the message says what was found and what to do, and the network stays as it was."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torchvision.models import DenseNet
from toy_nets import TOYS, PlainNet, ResidualNet

from m2a.errors import ConfigError, InsertionError, M2AError, NoSitesError, SiteTypeError, SpecError
from m2a.insertion import get_num_frames, insert, remove


def assert_refused(net: nn.Module, kind: type[M2AError], message: str, spec: str = "m2a", **options: Any) -> None:
    structure, state, rng = repr(net), net.state_dict(), torch.get_rng_state()
    with pytest.raises(kind, match=message):
        insert(net, spec, **options)
    assert repr(net) == structure
    assert list(net.state_dict()) == list(state)
    assert torch.equal(torch.get_rng_state(), rng)
    assert get_num_frames(net) is None


def test_errors_are_values_errors_too() -> None:
    assert issubclass(NoSitesError, InsertionError)
    assert issubclass(NoSitesError, ValueError)
    assert issubclass(SiteTypeError, TypeError)


def test_nothing_to_insert_at() -> None:
    assert_refused(
        nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU()),
        NoSitesError,
        r"Sequential has neither residual branches nor a convolution behind its first, so the sites cannot be chosen "
        r"for you\. Name them with where=, a regular expression or a list of module names\. Its convolutions are '0'; "
        r"for instance where=\['0'\]\.",
    )


class OwnMechanism(nn.Conv2d):
    """A layer with a child of that name."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.mechanism = nn.Conv2d(11, 11, 1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.mechanism(x))


def test_a_child_called_mechanism_is_not_replaced() -> None:
    net = ResidualNet()
    net.open[1] = OwnMechanism(11, 13, 3, padding=1)
    assert_refused(
        net,
        SiteTypeError,
        r"'open\.1', a OwnMechanism, has a Conv2d of its own called 'mechanism', the name that a mechanism is put "
        r"there under\. Give yours another name, or name other layers with where=\.",
        where=["open.1"],
    )
    insert(net, "m2a", num_frames=3, reduction=2, where=["open.2"])
    assert remove(net) is net
    assert isinstance(net.open[1].mechanism, nn.Conv2d)
    assert not hasattr(net.open[2], "mechanism")


def test_a_model_that_takes_no_images() -> None:
    assert_refused(
        nn.Sequential(nn.Linear(3, 5)),
        NoSitesError,
        r"Sequential could not be followed from its input to its output \(RuntimeError: .*\), which is how sites are "
        r"found: with a batch of images \(N, C, H, W\), or of clips, alone\. Name convolutions or batch norms yours",
    )


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (r"body\.[0", r"where='body\\\\\.\[0' is not a regular expression: unterminated character set"),
        (
            r"\.0",
            r"found nothing: it matches a part of some names, but must match a whole one\. Names in this model: 'stem",
        ),
        ("body0", r"where='body0' found nothing: it matches no module's name\. Names in this model: .*'body"),
        ("zzz", r"it matches no module's name\. Names in this model: 'stem', 'stem\.0', .* and \d more\."),
        ([], r"where=\[\] names no layer\. Leave where out for the default sites\."),
        (["bdy.0"], r"where names 'bdy\.0', which this model does not have\. Near it: 'body\.0'"),
        (["body.0", "zzz"], r"where names 'zzz', which this model does not have\. Near it: 'stem', "),
    ],
)
def test_names_that_match_nothing(where: Any, message: str) -> None:
    assert_refused(PlainNet(), NoSitesError, message, where=where)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            ["head"],
            r"'head', a Linear, cannot carry a mechanism: what goes through it is N x 13, no batch of frames\.$",
        ),
        (["unused"], r"'unused', a Conv2d, cannot carry a mechanism: no tensor that depends on the image goes through"),
        (["body.0", "head"], r"'head', a Linear, cannot carry a mechanism"),
        (["body"], r"'body', a Sequential, .* name one of them\. Did you mean 'body\.0', its first convolution\?"),
    ],
)
def test_layers_that_cannot_carry_one(where: Any, message: str) -> None:
    net = PlainNet()
    net.unused = nn.Conv2d(3, 5, 1)
    assert_refused(net, SiteTypeError, message, where=where)


def test_inside_a_window_there_are_no_frames() -> None:
    net = timm.create_model("swin_tiny_patch4_window7_224", depths=(1, 1), embed_dim=8, num_heads=(1, 1), img_size=56)
    assert_refused(net, SiteTypeError, r"what goes through it is 20 x 49 x 8, no batch of frames", where=r".*qkv")


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (ConfigError, {"num_frames": 1}, r"num_frames must be at least 2 to see motion; got 1\."),
        (ConfigError, {"num_frames": 4.0}, r"num_frames must be a whole number; got 4\.0\."),
        (ConfigError, {"position": "behind"}, r'position must be "before" or "after" the layer; got \'behind\'\.'),
        (SpecError, {"spec": "m2b"}, r"There is no mechanism called 'm2b'\. Did you mean 'm2a'\?"),
        (SpecError, {"bondary": "zero"}, r"has no option 'bondary'\. It takes: boundary, direction, inner_skip\."),
        (SpecError, {"boundary": "same"}, r"boundary='same' is not known\."),
        (M2AError, {"reduction": 0}, r"reduction divides the channels and must be at least 1; got 0\."),
    ],
)
def test_options_that_cannot_work(kind: type[M2AError], options: dict[str, Any], message: str) -> None:
    assert_refused(TOYS["resnet18"].build(), kind, message, **options)


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize("spec", ["tea", "tdn:m2a", "m2a:patch8", "tsm+tea"])
def test_tokens_that_do_not_come_row_by_row(spec: str) -> None:
    with torch.device("meta"):
        net = timm.create_model("hiera_tiny_224", stages=(1, 1, 1, 1))
        with pytest.raises(
            SiteTypeError, match=r"Hiera keeps its tokens in an order of its own at 'blocks\.0.*, and '.*' looks at wh"
        ):
            insert(net, spec, num_frames=3)
        assert get_num_frames(net) is None
        assert insert(net, "m2a+tsm", num_frames=3).layouts


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize("spec", ["tea", "tdn:m2a", "m2a:patch8", "tsm+tea"])
def test_tokens_that_come_block_by_block(spec: str) -> None:
    with torch.device("meta"):
        net = timm.create_model("nest_tiny")
        with pytest.raises(
            SiteTypeError,
            match=r"Nest keeps its tokens in an order of its own at 'levels\.0\..*', .*, and '.*' looks at wh",
        ):
            insert(net, spec, num_frames=3)
        assert get_num_frames(net) is None
        assert insert(net, "m2a+tsm", num_frames=3).layouts


def test_maps_that_are_not_as_high_and_wide_as_the_image_may_be_maps() -> None:
    """Of a network that strides the height alone."""
    layers = [nn.Conv2d(3, 8, 3, stride=(4, 1), padding=1), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 5, 3)]
    assert insert(nn.Sequential(*layers), "tea", num_frames=3, where=["2", "3"]).sites == ["2", "3"]


def test_too_few_channels_to_shift_at_one_site() -> None:
    assert_refused(
        PlainNet(), SpecError, r"with 3 channels shift_div must lie in 2\.\.3, got 8\.", "tsm", where=r"stem\.0"
    )


def test_a_block_that_runs_its_children_itself() -> None:
    """torchvision's dense blocks are dicts of layers: a mechanism inside would be one of them."""
    net = DenseNet(growth_rate=4, block_config=(2, 2), num_init_features=8)
    assert_refused(net, SiteTypeError, r"'features\.denseblock1'.*name one of them", where=["features.denseblock1"])
