from __future__ import annotations

import numpy as np
import torch

from models.mixers.mhsa import MHSA
from tests.models import reference


def test_mhsa_attends_by_content_and_relative_position() -> None:
    torch.manual_seed(3)
    mixer = MHSA(8, (3, 2), heads=2).double()
    x = torch.randn(1, 8, 3, 2, dtype=torch.float64)
    weights = reference.weights_of(mixer)
    flat = x[0].flatten(1).numpy()
    q, k, v = (
        (weights[f"{n}.weight"][:, :, 0, 0] @ flat + weights[f"{n}.bias"][:, None]).reshape(2, 4, 6)
        for n in ("query", "key", "value")
    )
    position = (weights["rows"] + weights["columns"]).reshape(2, 4, 6)
    heads = [v[h] @ reference.softmax(q[h].T @ k[h] + position[h].T @ q[h]).T for h in range(2)]
    expected = np.concatenate(heads).reshape(8, 3, 2)
    np.testing.assert_allclose(mixer(x)[0].detach().numpy(), expected, rtol=1e-9)
