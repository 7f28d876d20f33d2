"""From frames' scores to the clip's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import clips, tiny

from m2a.errors import ConfigError
from m2a.models import load


def test_attention_starts_as_the_mean() -> None:
    average, attention, x = tiny(), tiny(consensus="attention"), clips()
    torch.testing.assert_close(attention(x), average(x))
    assert len(attention.state_dict()) == len(average.state_dict()) + 1


def test_attention_weights_frames_by_their_features(tmp_path: Path) -> None:
    model, x = tiny(consensus="attention"), clips()
    torch.nn.init.normal_(model.consensus.weight)
    features, scores = model.frame_features(x).detach(), model.frame_scores(x).detach()
    for clip in range(2):
        logits = [float((features[clip, t] * model.consensus.weight.detach()).sum()) for t in range(3)]
        weights = torch.tensor(logits).softmax(0)
        torch.testing.assert_close(model(x)[clip], sum(weights[t] * scores[clip, t] for t in range(3)))
    torch.testing.assert_close(model.consensus.frame_weights(features).sum(1), torch.ones(2))
    model.save_pretrained(tmp_path)
    assert torch.equal(load(tmp_path)(x), model(x))
    model.num_frames = 7
    assert model(clips(7)).shape == (2, 5)


def test_attention_learns() -> None:
    model = tiny(consensus="attention")
    model(clips()).square().sum().backward()
    assert float(model.consensus.weight.grad.norm()) > 0


@pytest.mark.usefixtures("as_users_run_it")
def test_another_consensus_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"consensus must be one of avg, attention; got 'max'\."):
        tiny(consensus="max")
