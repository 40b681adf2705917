from __future__ import annotations

import numpy as np
import torch

from models.mixers.dcs import DCS
from tests.models import reference


def test_dcs_scores_the_selected_channels_alone() -> None:
    torch.manual_seed(0)
    mixer = DCS(8, heads=2).double().eval()
    x = torch.randn(1, 8, 3, 2, dtype=torch.float64)
    weights = reference.weights_of(mixer)
    flat = x[0].flatten(1).numpy()
    features, values = (
        weights[f"{n}.weight"][:, :, 0, 0] @ flat + weights[f"{n}.bias"][:, None]
        for n in ("features", "value")
    )
    logits = weights["selection.logits.weight"] @ features.mean(axis=1) + weights["selection.logits.bias"]
    assert 0 < (logits > 0).sum() < 8
    chosen = (features * (logits > 0)[:, None]).reshape(2, 4, 6)
    heads = [values.reshape(2, 4, 6)[h] @ reference.softmax(chosen[h].T @ chosen[h] / 2).T for h in range(2)]
    expected = np.concatenate(heads).reshape(8, 3, 2)
    np.testing.assert_allclose(mixer(x)[0].detach().numpy(), expected, rtol=1e-9)
    looked_at = np.mean(
        [reference.softmax(chosen[h].T @ chosen[h] / 2).mean(axis=0) for h in range(2)], axis=0
    )
    np.testing.assert_allclose(mixer.attention_map(x)[0].detach().numpy(), looked_at.reshape(3, 2), rtol=1e-9)


def test_dcs_learns_which_channels_to_select() -> None:
    torch.manual_seed(1)
    mixer = DCS(8, heads=2)
    mixer(torch.randn(4, 8, 3, 3)).square().sum().backward()
    assert mixer.selection.logits.weight.grad is not None
    assert mixer.selection.logits.weight.grad.any()


def test_dcs_is_the_same_every_time_in_evaluation() -> None:
    torch.manual_seed(2)
    mixer = DCS(8).eval()
    x = torch.randn(2, 8, 4, 4)
    torch.testing.assert_close(mixer(x), mixer(x), rtol=0, atol=0)
