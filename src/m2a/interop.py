"""Weights of other projects under our names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from m2a.errors import CheckpointError, ConfigError

_M2A = (  # released code -> ours: within one mechanism, and the module a site's layer was wrapped in
    (r"conv_down\.(weight|bias)", r"reduce.\1"),
    (r"conv_up\.(weight|bias)", r"expand.\1"),
)


def convert_state_dict(state_dict: Mapping[str, Tensor], source: str = "m2a") -> dict[str, Tensor]:
    """Keys of the released M2A code as ours, for one mechanism or a whole network.

    A whole network was saved as `module.base_model.<layer>.net.*` (the wrapped layer), `<layer>.conv_down.*` and
    `conv_up.*` (its mechanism) and `module.new_fc.*`; it becomes the state dict of a `VideoClassifier`:
    `backbone.<layer>.*`, `backbone.<layer>.mechanism.*` and `head.*`.

    Raises:
        ConfigError: a source other than "m2a".
        CheckpointError: two keys fall on one name, or a key of a mechanism that this version does not have.
    """
    if source != "m2a":
        raise ConfigError(f'source must be "m2a", the released code; got {source!r}.')
    keys = [key.removeprefix("module.") for key in state_dict]
    whole = any(key.startswith(("base_model.", "new_fc.")) for key in keys)
    converted = {_network_key(key) if whole else _mechanism_key(key): key for key in keys}
    if len(converted) < len(keys):
        raise CheckpointError("Two keys of the state dict fall on the same name; is it two checkpoints merged?")
    if unplaced := [key for key in converted.values() if "modules_list." in key]:
        raise CheckpointError(
            f"{len(unplaced)} keys belong to a mechanism that this version does not have: {', '.join(unplaced[:3])}."
        )
    return dict(zip(converted, state_dict.values(), strict=True))


def _mechanism_key(key: str) -> str:
    for pattern, ours in _M2A:
        if match := re.fullmatch(pattern, key):
            return match.expand(ours)
    return key


def _network_key(key: str) -> str:
    key = re.sub(r"^base_model\.", "backbone.", key)
    key = re.sub(r"^new_fc\.", "head.", key)
    layer, _, rest = key.rpartition(".conv_")
    if layer:
        return f"{layer}.mechanism.{_mechanism_key('conv_' + rest)}"
    return re.sub(r"\.net\.(?=[^.]+$)", ".", key)
