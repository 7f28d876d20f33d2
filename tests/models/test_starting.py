"""Models that start from saved ones: what is taken over is that model, bit for bit, and nothing else is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import own_networks
import pytest
import torch
from tiny import VISIBLE, clips, tiny

from m2a.errors import CheckpointError, ConfigError, NotFoundError
from m2a.insertion.insert import belongs_to_mechanism
from m2a.models import VideoClassifier, create_model, load
from m2a.models.starting import SavedModel, names_model

LABELS = ("a", "b", "c", "d", "e")
MEANS = {"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7)}


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """A run with a model whose batch norms have seen something, with means that are not its backbone's."""
    model = tiny(labels=LABELS, boundary="zero")
    model.train()(clips(batch=7))
    model.preprocessing = replace(model.preprocessing, **MEANS)
    model.save_pretrained(tmp_path / "before" / "model")
    return tmp_path / "before"


def start(source: Path | None, labels: tuple[str, ...] = LABELS, **changes: Any) -> VideoClassifier:
    options: dict[str, Any] = {"backbone": "resnet10t", "num_frames": 3, "reduction": 2, "size": 32}
    options |= {"backbone_options": VISIBLE, "mechanism": "m2a", "boundary": "zero"} | changes
    options = {name: value for name, value in options.items() if value is not ...}
    return create_model(num_classes=len(labels), labels=labels, pretrained=source or False, **options).eval()


def assert_same_features(one: VideoClassifier, other: VideoClassifier, num_frames: int = 3) -> None:
    one.num_frames = other.num_frames = num_frames
    x = clips(num_frames)
    torch.testing.assert_close(one.frame_features(x), other.frame_features(x), rtol=0, atol=0)


def test_the_same_classes_keep_the_last_layer_in_any_order(before: Path) -> None:
    order = [3, 0, 4, 2, 1]
    model, source, x = start(before, tuple(LABELS[k] for k in order)), load(before), clips()
    torch.testing.assert_close(model(x), source(x)[:, order], rtol=0, atol=0)
    assert model.preprocessing == source.preprocessing
    assert model.config is not None
    assert model.config.pretrained == str(before)


@pytest.mark.parametrize("labels", [("a", "b"), ("a", "b", "c", "d", "f"), (*LABELS, "f")])
def test_other_classes_get_a_new_last_layer(before: Path, labels: tuple[str, ...]) -> None:
    model = start(before, labels, num_frames=5, size=48, dropout=0.1)
    assert model.head.weight.shape[0] == len(labels)
    assert float(model.head.weight.detach().abs().max()) < 0.01  # as it starts; the saved one has a deviation of 1
    given = model.preprocessing
    assert {"num_frames": 5, "size": 48, **MEANS}.items() <= vars(given).items()
    assert_same_features(model, load(before), num_frames=5)


def test_without_labels_the_last_layer_is_new(before: Path) -> None:
    """What its outputs stand for is not known, though they are as many."""
    options: dict[str, Any] = {"num_classes": 5, "num_frames": 3, "reduction": 2, "size": 32, "boundary": "zero"}
    model = create_model("resnet10t", backbone_options=VISIBLE, pretrained=before, **options)
    assert float(model.head.weight.detach().abs().max()) < 0.01


def test_a_model_without_a_mechanism_gives_its_image_network(tmp_path: Path) -> None:
    tiny(mechanism="none", labels=LABELS).save_pretrained(tmp_path)
    torch.manual_seed(3)
    model = start(tmp_path, ("x", "y"))
    torch.manual_seed(3)
    plain = start(None, ("x", "y"))
    source, of_mechanism = load(tmp_path).state_dict(), belongs_to_mechanism(model)
    assert sum(of_mechanism(key) for key in model.state_dict()) > 4
    for key, value in model.state_dict().items():
        is_new = of_mechanism(key) or key.startswith("head.")
        assert torch.equal(value, plain.state_dict()[key] if is_new else source[key]), key


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"mechanism": "tsm", "boundary": ...}, r"has mechanism='m2a', mechanism_options=\{'boundary': 'zero'\}, and"),
        ({"boundary": "wrap"}, r"would start from it mechanism_options=\{'boundary': 'wrap'\}\. Weights go into"),
        ({"reduction": 4}, r"has reduction=2, and the model that would start from it reduction=4\. Weights go into"),
        ({"consensus": "attention"}, r"has consensus='avg', and"),
        ({"backbone": "resnet14t"}, r"has backbone='resnet10t', and"),
        ({"where": ["layer1.0.conv1"]}, r"has where=None, and"),
        ({"position": "after"}, r"has position='before', and"),
        ({"inflate": True}, r"has inflate=False, and"),
    ],
)
def test_what_is_built_otherwise_is_refused(before: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        start(before, **changes)


@pytest.mark.parametrize("changes", [{"drop_path_rate": 0.2}, {"zero_init_last": True}, {"channels": (8, 8, 16, 16)}])
def test_options_that_weights_do_not_hang_on_may_be_others(before: Path, changes: dict[str, Any]) -> None:
    """Tuples are lists in a file."""
    assert_same_features(start(before, backbone_options=VISIBLE | changes), load(before))


def test_a_spec_may_be_spelt_otherwise(tmp_path: Path) -> None:
    tiny(mechanism="m2a+tsm", labels=LABELS).save_pretrained(tmp_path)
    assert_same_features(start(tmp_path, mechanism="m2a + tsm", boundary=...), load(tmp_path))


@pytest.mark.parametrize("position", ["before", "after"])
def test_sites_that_were_named_are_taken_over(tmp_path: Path, position: str) -> None:
    tiny(labels=LABELS, where=r"layer[34]\.0\.conv2", position=position, mechanism="m2a+tsm").save_pretrained(tmp_path)
    model = start(tmp_path, ("x", "y"), mechanism="m2a+tsm", boundary=...)
    assert_same_features(model, load(tmp_path))
    model.save_pretrained(tmp_path / "again")
    assert_same_features(load(tmp_path / "again"), load(tmp_path))


def test_a_mechanism_for_one_number_of_frames_says_so(tmp_path: Path) -> None:
    tiny(mechanism="tam", labels=LABELS).save_pretrained(tmp_path)
    told = r"does not fit .*Of another shape: .*mechanism.*made for num_frames=3, and this is for 5: give the same"
    with pytest.raises(CheckpointError, match=told):
        start(tmp_path, mechanism="tam", boundary=..., num_frames=5)


def test_an_adapter_is_refused_and_one_can_be_made_beside_a_saved_model(
    before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = start(before, ("x", "y"), freeze_backbone=True)
    torch.nn.init.normal_(model.head.weight)
    model.save_adapter(tmp_path / "adapter")
    x = clips()
    torch.testing.assert_close(load(tmp_path / "adapter")(x), model(x), rtol=0, atol=0)
    before.rename(tmp_path / "moved")
    with pytest.raises(NotFoundError, match=r"They were .*before, which is not here\. Pass them on"):
        load(tmp_path / "adapter")
    again = load(tmp_path / "adapter", image_weights=tmp_path / "moved")
    torch.testing.assert_close(again(x), model(x), rtol=0, atol=0)
    model.preprocessing = replace(model.preprocessing, mean=(0.5, 0.5, 0.5), interpolation="bicubic")
    model.save_adapter(tmp_path / "adapter")
    again = load(tmp_path / "adapter", image_weights=tmp_path / "moved")
    assert again.preprocessing == model.preprocessing  # its own, not those of the model that it started from
    monkeypatch.setattr(
        "m2a.models.saving.hf_hub_download", lambda name, file, **_: str(tmp_path / "moved/model" / file)
    )
    rewritten = json.loads((tmp_path / "adapter" / "config.json").read_text(encoding="utf-8"))
    rewritten["model"]["pretrained"] = "owner/name"
    (tmp_path / "adapter" / "config.json").write_text(json.dumps(rewritten), encoding="utf-8")
    torch.testing.assert_close(load(tmp_path / "adapter")(x), model(x), rtol=0, atol=0)
    with pytest.raises(ConfigError, match=r"adapter is an adapter, which lacks the image network .* \(RUN/model\)"):
        start(tmp_path / "adapter")


def test_a_network_of_ones_own(tmp_path: Path) -> None:
    options: dict[str, Any] = {"num_classes": 5, "labels": LABELS, "num_frames": 3, "reduction": 2, "size": 32}
    source = create_model(own_networks.Residual(), **options).eval()
    source.save_pretrained(tmp_path)
    x = clips()
    torch.testing.assert_close(
        create_model(own_networks.Residual(), pretrained=tmp_path, **options).eval()(x), source(x), rtol=0, atol=0
    )
    network = own_networks.Deep()
    kept = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"does not fit this VideoClassifier\. Not in the file: "):
        create_model(network, pretrained=tmp_path, **options)
    assert network.state_dict().keys() == kept.keys()


def test_damage_is_told(before: Path) -> None:
    file = before / "model" / "config.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    for damaged, told in (({}, "was not written by m2a"), ({**content, "format": 9}, "Update m2a")):
        file.write_text(json.dumps(damaged), encoding="utf-8")
        with pytest.raises(CheckpointError, match=told):
            start(before)
    (before / "model" / "model.safetensors").unlink()
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(NotFoundError, match=r"holds no model\.safetensors"):
        start(before)


def test_what_names_a_model(before: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(before)
    (before / "image").write_bytes(b"")
    for name in ("imagenet", "none"):
        (before / name).mkdir()
    models = [before, "model", "owner/name", "owner/m2a-v1.0", "./none"]
    files = [
        True,
        False,
        "",
        "none",
        "imagenet",
        "image.pth",
        "image",
        "gone",
        "model/gone",
        "./gone",
        "owner/image.safetensors",
        "/a/b/c",
    ]
    assert [one for one in (*models, *files) if names_model(one)] == models


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (LABELS[::-1], "starts from {}, all of it: its 5 classes are the same"),
        (
            (*LABELS, "x"),
            "starts from {}, all but its last layer, which was for 5 classes, not the same as here, and is made anew "
            "for 6",
        ),
    ],
)
def test_what_is_said(before: Path, labels: tuple[str, ...], told: str) -> None:
    assert SavedModel.read(before).about_start(labels) == told.format(before)
