from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from models.pooling import pooling_matrix


@given(st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_pooling_matrix_is_adaptive_average_pooling(size: int, bins: int) -> None:
    x = torch.randn(1, 3, size)
    torch.testing.assert_close(x @ pooling_matrix(size, bins).T, F.adaptive_avg_pool1d(x, bins))
