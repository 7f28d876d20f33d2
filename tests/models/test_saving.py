"""Saved models: what comes back is the same model, bit for bit; what cannot come back says why."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.errors
import numpy as np
import own_networks
import pytest
import safetensors.torch
import torch
from timm.layers.drop import DropPath
from tiny import VISIBLE, clips, tiny
from torch import nn
from torch.nn.utils import prune

from full_disk import files_of_at_most
from m2a.data import Preprocessing
from m2a.errors import CheckpointError, ConfigError, NotFoundError, WeightsUnavailableError
from m2a.insertion import get_num_frames, insert, remove
from m2a.models import ModelConfig, VideoClassifier, create_model, load, saving
from m2a.models.consensus import AverageConsensus

LABELS = ("Pushing something", "b", "c", "d", "é")


def saved(folder: Path, **changes: Any) -> tuple[VideoClassifier, Path]:
    model = tiny(**changes)
    model.save_pretrained(folder / "model")
    return model, folder / "model"


def rewrite(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"labels": LABELS},
        {"boundary": "zero", "dropout": 0.2},
        {"mechanism": "none"},
        {"mechanism": "m2a+tsm", "shift_div": 4, "boundary": "zero"},
        {"where": ["layer2.0.conv1", "layer1.0.conv1"]},
        {"where": r"layer[34]\.0\.conv2", "position": "after"},
    ],
    ids=str,
)
def test_a_round_trip(tmp_path: Path, changes: dict[str, Any]) -> None:
    model, folder = saved(tmp_path, **changes)
    x = clips()
    for again in (load(folder), load(str(folder)), VideoClassifier.from_pretrained(folder)):
        assert isinstance(again, VideoClassifier)
        assert not again.training
        assert torch.equal(again(x), model(x))
        assert (again.labels, again.preprocessing, again.num_frames) == (model.labels, model.preprocessing, 3)
        assert again.config == model.config
        assert again.insertion.sites == model.insertion.sites
        assert again.dropout.p == model.dropout.p
        assert repr(again) == repr(model)


@pytest.mark.usefixtures("as_users_run_it")
def test_numbers_of_numpy(tmp_path: Path) -> None:
    whole = {"num_classes": 5, "num_frames": 3, "reduction": 2, "size": 32, "shift_div": 4}
    given = {name: np.int64(value) for name, value in whole.items()}
    channels = [np.int32(width) for width in (8, 8, 16, 16)]
    of_numpy = tiny(**given, dropout=np.float32(0.25), mechanism="tsm", backbone_options={"channels": channels})
    plain = tiny(**whole, dropout=0.25, mechanism="tsm", backbone_options={"channels": [8, 8, 16, 16]})
    of_numpy.save_pretrained(tmp_path / "numpy")
    plain.save_pretrained(tmp_path / "plain")
    assert (tmp_path / "numpy" / "config.json").read_text() == (tmp_path / "plain" / "config.json").read_text()
    assert load(tmp_path / "numpy").config == plain.config
    of_numpy.num_frames = np.int64(5)
    of_numpy.save_pretrained(tmp_path / "numpy")
    assert load(tmp_path / "numpy")(clips(5)).shape == (2, 5)


def test_options_that_from_pretrained_has_not(tmp_path: Path) -> None:
    model, folder = saved(tmp_path)
    message = (
        r"from_pretrained has no num_classes, config, wings; its options are backbone, image_weights, .*revision.*\. "
        r"What a model is comes from its config\.json: change it once it is loaded"
    )
    with pytest.raises(ConfigError, match=message):
        VideoClassifier.from_pretrained(folder, num_classes=7, config=model.config, wings=2, revision="main")
    hubs = {"revision": "main", "token": None, "cache_dir": tmp_path, "force_download": False, "local_files_only": True}
    x = clips()
    assert torch.equal(VideoClassifier.from_pretrained(folder, **hubs)(x), model(x))


def test_a_subclass_is_not_given_as_its_base(tmp_path: Path) -> None:
    class Softened(VideoClassifier):
        pass

    tiny().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"from_pretrained gives a VideoClassifier, not a Softened\. Load with"):
        Softened.from_pretrained(tmp_path)


def test_from_pretrained_takes_what_load_takes(tmp_path: Path) -> None:
    made = create_model(own_networks.Residual(), num_classes=5, num_frames=3, reduction=2).eval()
    made.save_pretrained(tmp_path)
    x = clips()
    assert torch.equal(VideoClassifier.from_pretrained(tmp_path, backbone=own_networks.Residual())(x), made(x))


def test_it_is_the_boundary_that_travels(tmp_path: Path) -> None:
    zero, folder = saved(tmp_path, boundary="zero")
    wrap = tiny()
    wrap.load_state_dict(zero.state_dict())
    x = clips()
    assert torch.equal(load(folder)(x), zero(x))
    assert not torch.equal(wrap(x), zero(x))


def test_the_clip_length_travels_as_it_is_now(tmp_path: Path) -> None:
    model = tiny()
    model.num_frames = 7
    model.save_pretrained(tmp_path)
    again = load(tmp_path)
    assert (again.num_frames, get_num_frames(again.backbone)) == (7, 7)
    assert again.preprocessing.num_frames == 7
    x = clips(7)
    assert torch.equal(again(x), model(x))


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("tsm", {"shift_div": 4}),
        ("m2a-motion", {"boundary": "zero", "position": "after"}),  # its weights have the names and shapes of m2a's
        ("m2a", {"reduction": 4, "init": "identity", "where": ["layer3.0.conv2"]}),
    ],
)
@pytest.mark.parametrize("part", ["", "layer2"])
def test_what_is_saved_is_the_mechanism_that_is_in_it(
    tmp_path: Path, spec: str, told: dict[str, Any], part: str
) -> None:
    model = tiny(boundary="wrap")
    remove(model)
    changed = model.backbone.get_submodule(part)
    insert(changed, spec, num_frames=3, **({"reduction": 2} | told | ({"where": [r"0.conv2"]} if part else {})))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(tmp_path)
    again, x = load(tmp_path), clips()
    assert torch.equal(again(x), model(x))
    assert (again.config.mechanism, again.config.position) == (spec, told.get("position", "before"))
    assert again.config.where == (("layer2.0.conv2",) if part else tuple(told["where"]) if "where" in told else None)


def test_a_mechanism_that_was_taken_out_is_not_saved(tmp_path: Path) -> None:
    model = remove(tiny(boundary="zero"))
    model.save_pretrained(tmp_path)
    again, x = load(tmp_path), clips()
    assert torch.equal(again(x), model(x))
    assert again.config.mechanism == "none"


def test_sites_that_are_not_alike_are_refused(tmp_path: Path) -> None:
    model = remove(tiny())
    insert(model.backbone.layer1, "tsm", num_frames=3, where=["0.conv1"])
    insert(model.backbone.layer2, "m2a", num_frames=3, where=["0.conv1"])
    with pytest.raises(
        ConfigError,
        match=r"not inserted alike: spec is 'tsm' at 'layer1\.0\.conv1' and 'm2a' at 'layer2\.0\.conv1', and config"
        r"\.json holds one for all\. Take them out with m2a\.remove",
    ):
        model.save_pretrained(tmp_path / "model")
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_new_head_travels(tmp_path: Path) -> None:
    model, x = tiny(labels=LABELS), clips()
    model.head = torch.nn.Linear(model.head.in_features, 2)
    with pytest.raises(ConfigError, match=r"labels has 5 names and model\.head gives 2 scores.*Set model\.labels to"):
        model.save_pretrained(tmp_path)
    model.labels, model.dropout.p = ("one", "two"), 0.1
    model.save_pretrained(tmp_path)
    again = load(tmp_path)
    assert torch.equal(again(x), model(x))
    assert (again.labels, again.num_classes, again.dropout.p) == (("one", "two"), 2, 0.1)
    for head, kind in (
        (torch.nn.Sequential(model.head), r"torch\.nn\S*\.Sequential"),
        (torch.nn.Linear(model.head.in_features, 2, bias=False), r"torch\.nn\S*\.Linear without a bias"),
    ):
        model.head = head
        with pytest.raises(ConfigError, match=rf"model\.head is a {kind}, which m2a\.load would not build"):
            model.save_pretrained(tmp_path)


def test_preprocessing_travels(tmp_path: Path) -> None:
    model = tiny()
    model.preprocessing = Preprocessing(num_frames=3, size=32, resize=40, mean=(0.1, 0.2, 0.3), interpolation="bicubic")
    model.save_pretrained(tmp_path)
    assert load(tmp_path).preprocessing == model.preprocessing


def test_channels_last_models_are_saved_too(tmp_path: Path) -> None:
    model = tiny().to(memory_format=torch.channels_last)
    model.save_pretrained(tmp_path)
    state, again = model.state_dict(), load(tmp_path).state_dict()
    assert all(torch.equal(again[key], value) for key, value in state.items())


def test_saving_twice_keeps_the_second(tmp_path: Path) -> None:
    tiny(labels=LABELS).save_pretrained(tmp_path)
    second = tiny(seed=1)
    second.save_pretrained(tmp_path)
    again, x = load(tmp_path), clips()
    assert again.labels is None
    assert torch.equal(again(x), second(x))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_model_that_is_refused_leaves_the_one_before(tmp_path: Path) -> None:
    tiny(labels=LABELS).save_pretrained(tmp_path)
    before = contents(tmp_path)
    model = tiny(seed=1)
    model.head = torch.nn.Sequential(model.head)
    with pytest.raises(
        ConfigError, match=r"model\.head is a torch\.nn\S*\.Sequential, which m2a\.load would not build"
    ):
        model.save_pretrained(tmp_path)
    assert contents(tmp_path) == before


def compiled(model: VideoClassifier) -> None:
    model.backbone = torch.compile(model.backbone)


def compiled_in_part(model: VideoClassifier) -> None:
    model.backbone.layer2 = torch.compile(model.backbone.layer2)


def pruned(model: VideoClassifier) -> None:
    prune.l1_unstructured(model.backbone.layer1[0].conv2, "weight", amount=0.5)


def with_another_layer(model: VideoClassifier) -> None:
    model.backbone.layer4[0].conv2 = torch.nn.Conv2d(7, 32, 3, padding=1)


@pytest.mark.parametrize("change", [compiled, compiled_in_part, pruned, with_another_layer])
def test_what_could_not_be_loaded_is_not_saved(change: Callable[[VideoClassifier], None], tmp_path: Path) -> None:
    model, folder = saved(tmp_path)
    before = contents(folder)
    change(model)
    message = "before it is compiled" if "compiled" in change.__name__ else "here and .* in what its config.json builds"
    with pytest.raises(ConfigError, match=message):
        model.save_pretrained(folder)
    assert contents(folder) == before


class Cosine(nn.Linear):
    """A linear layer between directions, with the weights of a plain one."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(nn.functional.normalize(x, dim=-1), self.weight, self.bias)


class Strongest(AverageConsensus):
    def forward(self, scores_BSK: torch.Tensor, features_BSF: torch.Tensor) -> torch.Tensor:
        return scores_BSK.amax(1)


class ActiveDropout(nn.Dropout):
    """Drops in evaluation, too."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(x, self.p, training=True)


def with_a_cosine_head(model: VideoClassifier) -> None:
    head = Cosine(model.head.in_features, 5)
    head.load_state_dict(model.head.state_dict())
    model.head = head


def with_another_consensus(model: VideoClassifier) -> None:
    model.consensus = Strongest()


def with_another_dropout(model: VideoClassifier) -> None:
    model.dropout = ActiveDropout()


def pooled_by_the_largest(model: VideoClassifier) -> None:
    model.backbone.reset_classifier(0, "max")


def with_gelu(model: VideoClassifier) -> None:
    for name, layer in list(model.backbone.named_modules()):
        if isinstance(layer, nn.ReLU) and ".mechanism." not in name:
            model.backbone.set_submodule(name, nn.GELU())


def without_an_activation(model: VideoClassifier) -> None:
    model.backbone.layer2[0].act1 = nn.Identity()


def with_another_setting(model: VideoClassifier) -> None:
    model.backbone.layer3[0].bn2.eps = 0.1


def with_a_layer_more(model: VideoClassifier) -> None:
    model.backbone.layer2.append(nn.Tanh())


def with_a_compiled_activation(model: VideoClassifier) -> None:
    model.backbone.act1 = torch.compile(model.backbone.act1, backend="eager")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_a_cosine_head, r"model\.head is a \S*test_saving\.Cosine, which m2a\.load would not build"),
        (with_another_consensus, r"model\.consensus is a \S*test_saving\.Strongest, which m2a\.load would not build"),
        (with_another_dropout, r"model\.dropout is a \S*test_saving\.ActiveDropout, .*\.Identity for none"),
        (
            pooled_by_the_largest,
            r"would build another model: 'backbone\.global_pool' is a timm\.\S*Pool2d\(pool_type='max'\) here and a "
            r"timm\.\S*Pool2d\(pool_type='avg'\) in what its config\.json builds",
        ),
        (
            with_gelu,
            r"another model: 'backbone\.conv1\.2' is a torch\.nn\S*\.GELU\(approximate='none'\) here and a "
            r"torch\.nn\S*\.ReLU\(\) in what .* Undo that, or save model\.state_dict\(\)",
        ),
        (
            without_an_activation,
            r"'backbone\.layer2\.0\.act1' is missing, or an identity, here and a torch\S*\.ReLU\(\)",
        ),
        (with_another_setting, r"'backbone\.layer3\.0\.bn2' is a .*eps=0\.1.* here and a .*eps=1e-05.* in what"),
        (with_a_layer_more, r"'backbone\.layer2\.1' is a torch\S*\.Tanh\(\) here and missing, or an identity, in what"),
        (with_a_compiled_activation, r"'backbone\.act1' is a .*OptimizedModule.* Save it before it is compiled\."),
    ],
)
@pytest.mark.parametrize("mechanism", ["none", "m2a"])
def test_what_would_be_loaded_as_another_model_is_not_saved(
    change: Callable[[VideoClassifier], None], message: str, mechanism: str, tmp_path: Path
) -> None:
    model, folder = saved(tmp_path, mechanism=mechanism)
    before = contents(folder)
    change(model)
    with pytest.raises(ConfigError, match=message):
        model.save_pretrained(folder)
    assert contents(folder) == before


def test_a_pooling_that_is_only_named_is_seen_too(tmp_path: Path) -> None:
    options = {"depth": 1, "embed_dim": 32, "num_heads": 2}
    model = tiny(backbone="vit_tiny_patch16_224", mechanism="none", backbone_options=options)
    model.save_pretrained(tmp_path)
    model.backbone.reset_classifier(0, "avg")
    message = r"'backbone' is a .*VisionTransformer\(global_pool='avg'\) here and a .*\(global_pool='token'\) in what"
    with pytest.raises(ConfigError, match=message):
        model.save_pretrained(tmp_path)


def trained_in_part(model: VideoClassifier) -> None:
    model.train().backbone.layer1.requires_grad_(False)
    model.backbone.bn1.eval()


def with_other_rates(model: VideoClassifier) -> None:
    for module in model.modules():
        match module:
            case nn.Dropout():
                module.p = 0.25
            case DropPath():
                module.drop_prob = 0.3
            case nn.BatchNorm2d():
                module.momentum = 0.01
            case nn.ReLU():
                module.inplace = not module.inplace


def without_dropout(model: VideoClassifier) -> None:
    model.dropout = nn.Identity()
    for name, layer in list(model.backbone.named_modules()):
        if isinstance(layer, DropPath):
            model.backbone.set_submodule(name, nn.Identity())


def synchronised(model: VideoClassifier) -> None:
    model.backbone = nn.SyncBatchNorm.convert_sync_batchnorm(model.backbone)


def checkpointed(model: VideoClassifier) -> None:
    model.backbone.set_grad_checkpointing()


def pooled_as_before(model: VideoClassifier) -> None:
    model.backbone.reset_classifier(0, "avg")


def compiled_in_place(model: VideoClassifier) -> None:
    model.compile(backend="eager")


def in_half_precision(model: VideoClassifier) -> None:
    model.bfloat16().float()


@pytest.mark.parametrize(
    "change",
    [
        trained_in_part,
        with_other_rates,
        without_dropout,
        synchronised,
        checkpointed,
        pooled_as_before,
        compiled_in_place,
        in_half_precision,
    ],
)
@pytest.mark.usefixtures("as_users_run_it")
def test_what_changes_no_score_is_saved(change: Callable[[VideoClassifier], None], tmp_path: Path) -> None:
    model, x = tiny(backbone_options=VISIBLE | {"drop_path_rate": 0.1}), clips()
    change(model)
    model.save_pretrained(tmp_path)
    again = load(tmp_path)
    assert torch.equal(again(x), model.eval()(x))
    if change is without_dropout:
        assert (again.config.dropout, again.dropout.p) == (0.0, 0.0)


def test_a_full_disk_leaves_the_one_before(tmp_path: Path) -> None:
    model, x = tiny(), clips()
    model.save_pretrained(tmp_path)
    before = contents(tmp_path)
    with files_of_at_most(10_007), pytest.raises(OSError, match="File too large"):
        tiny(seed=1).save_pretrained(tmp_path)
    assert contents(tmp_path) == before
    assert torch.equal(load(tmp_path)(x), model(x))


def test_what_a_config_looks_like(tmp_path: Path) -> None:
    _, folder = saved(tmp_path, labels=LABELS, boundary="zero")
    content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert content["format"] == 1
    assert content["class_names"] == list(LABELS)
    assert content["model"]["mechanism_options"] == {"boundary": "zero"}
    assert content["clips"]["size"] == 32
    assert set(safetensors.torch.load_file(folder / "model.safetensors")) == set(tiny().state_dict())


def test_a_classifier_put_together_by_hand_cannot_be_saved_without_a_config(tmp_path: Path) -> None:
    made = tiny(mechanism="none")
    by_hand = VideoClassifier(made.backbone, 5, num_frames=3)
    with pytest.raises(
        ConfigError, match=r"put together by hand, so config\.json could not say .* m2a\.create_model, or pass"
    ):
        by_hand.save_pretrained(tmp_path / "a")
    with_config = VideoClassifier(made.backbone, 5, num_frames=3, config=made.config).eval()
    with_config.save_pretrained(tmp_path / "b")
    x = clips()
    assert torch.equal(load(tmp_path / "b")(x), with_config(x))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, r"config\.json is of format 2; this version reads up to 1\. Update m2a\."),
        ({"model": {"backbone": "resnet18"}}, r"The model's config lacks num_classes; it is not one that m2a wrote\."),
        (
            {"model": {"backbone": "resnet18", "num_classes": 5, "wings": 2}},
            r"The model's config has keys this version of m2a does not know: wings\. Update m2a\.",
        ),
        ({"class_names": "abc"}, r"config\.json is damaged: class_names is 'abc'"),
        ({"class_names": [1, 2]}, r"config\.json is damaged: class_names is \[1, 2\]"),
        *(
            ({"model": {"backbone": "resnet18", "num_classes": 5} | wrong}, rf"is damaged: {next(iter(wrong))} is")
            for wrong in (
                {"num_classes": "5"},
                {"backbone": 3},
                {"mechanism": None},
                {"num_frames": float("nan")},
                {"num_frames": 1e30},
                {"reduction": 8.0},
                {"dropout": "0.5"},
                {"where": 7},
                {"where": [7]},
                {"mechanism_options": []},
                {"backbone_options": "{}"},
                {"init": "none"},
                {"inflate": 1},
            )
        ),
        ({"format": "1"}, r"config\.json is damaged: format is '1', which is no number\."),
        ({"model": None}, r"its config\.json is damaged \(Type(Check)?Error"),
        ({"clips": {"num_frames": "8"}}, r"its config\.json is damaged \(Type(Check)?Error"),
    ],
)
def test_configs_of_other_versions(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    _, folder = saved(tmp_path)
    rewrite(folder, **changes)
    with pytest.raises(CheckpointError, match=message):
        load(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"config\.json is not JSON: Expecting property name"),
        ("", r"config\.json is not JSON"),
        ("[]", r"config\.json was not written by m2a: it lacks format, model, class_names or clips\."),
        ('{"architectures": ["Bert"]}', r"was not written by m2a: it lacks format"),
    ],
)
def test_configs_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    _, folder = saved(tmp_path)
    (folder / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=message):
        load(folder)


def test_views_of_one_tensor_are_saved(tmp_path: Path) -> None:
    class Overlapping(own_networks.Residual):
        def __init__(self) -> None:
            super().__init__()
            table = torch.arange(12.0)
            self.register_buffer("table", table)
            self.register_buffer("part", table[2:6])

    model = create_model(Overlapping(), num_classes=5, num_frames=3, reduction=2).eval()
    model.save_pretrained(tmp_path)
    again = load(tmp_path, backbone=Overlapping())
    assert torch.equal(again.backbone.part, torch.arange(2.0, 6.0))
    x = clips()
    assert torch.equal(again(x), model(x))


@pytest.mark.parametrize("wrong", ["a backbone of another width", "a file that is cut off", "a file of another model"])
def test_a_network_of_ones_own_is_as_it_was_where_it_cannot_be_loaded(tmp_path: Path, wrong: str) -> None:
    made = create_model(own_networks.Residual(), num_classes=5, num_frames=3, reduction=2).eval()
    made.save_pretrained(tmp_path)
    network, path = own_networks.Residual(), tmp_path / "model.safetensors"
    content = path.read_bytes()
    if wrong == "a backbone of another width":
        network.branches[0] = torch.nn.Conv2d(11, 11, 3, padding=1)
    elif wrong == "a file that is cut off":
        path.write_bytes(content[:1000])
    else:
        path.write_bytes(safetensors.torch.save({"a": torch.zeros(7)}))
    structure, state = repr(network), {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(CheckpointError):
        load(tmp_path, backbone=network)
    assert repr(network) == structure
    assert get_num_frames(network) is None
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in state.items())
    if wrong != "a backbone of another width":
        path.write_bytes(content)
        x = clips()
        assert torch.equal(load(tmp_path, backbone=network)(x), made(x))


def test_weights_of_another_mechanism(tmp_path: Path) -> None:
    _, folder = saved(tmp_path)
    tiny(mechanism="tsm", shift_div=4).save_pretrained(tmp_path / "tsm")
    (folder / "model.safetensors").write_bytes((tmp_path / "tsm" / "model.safetensors").read_bytes())
    message = r"does not fit this VideoClassifier\. Not in the file: .*\.mechanism\..* The mechanisms differ: build"
    with pytest.raises(CheckpointError, match=message):
        load(folder)


def test_weights_that_are_cut_off(tmp_path: Path) -> None:
    _, folder = saved(tmp_path)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(
        CheckpointError, match=r"model\.safetensors cannot be read as a checkpoint; it is damaged or cut off"
    ):
        load(folder)


def test_folders_that_are_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where there is no folder runs, as there is behind the demo
    with pytest.raises(
        NotFoundError, match=r"There is no folder .*gone\. Give a folder that save_pretrained or m2a train wrote"
    ):
        load(tmp_path / "gone")
    with pytest.raises(NotFoundError, match=r"There is no folder gone\. Give a folder"):
        load("gone")
    for name in ("runs/my run", "runs/a--b", "runs/clips-resnet18-m2a+tsm", "~/model"):
        with pytest.raises(NotFoundError, match=f"There is no folder {re.escape(name)}, and no model on the hub"):
            load(name)
    with pytest.raises(NotFoundError, match=r"holds no config\.json, so it is not a saved model\.$"):
        load(tmp_path)
    model, folder = saved(tmp_path / "run")
    x = clips()
    assert torch.equal(load(tmp_path / "run")(x), model(x))  # a run's folder holds it in model/
    (folder / "model.safetensors").unlink()
    with pytest.raises(NotFoundError, match=r"model holds no model\.safetensors, so it is not a saved model\.$"):
        load(folder)


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> str:
        raise huggingface_hub.errors.LocalEntryNotFoundError("offline")

    monkeypatch.setattr(saving, "hf_hub_download", offline)
    message = r"There is no folder someone/net here, and config\.json of a model by that name could not be fetched"
    with pytest.raises(WeightsUnavailableError, match=message):
        load("someone/net")


def test_a_model_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, folder = saved(tmp_path)
    monkeypatch.setattr(saving, "hf_hub_download", lambda repo, name, **_: str(folder / name))
    x = clips()
    assert torch.equal(load("someone/net")(x), model(x))


def test_a_config_is_plain_and_comes_back() -> None:
    config = ModelConfig(backbone="resnet18", num_classes=5, where=("a", "b"), mechanism_options={"boundary": "zero"})
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_options_that_json_cannot_hold_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    model = create_model("test_resnet", num_classes=3, num_frames=2, backbone_options={"act_layer": torch.nn.ReLU})
    with pytest.raises(ConfigError, match=r"config\.json cannot hold these options: .*act_layer.*as text or numbers"):
        model.save_pretrained(tmp_path / "model")
    assert not list(tmp_path.rglob("*.safetensors"))
