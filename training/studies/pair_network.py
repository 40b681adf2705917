"""A network that sees a probe and a candidate together: aligned differences of parts, and their list.

The second stage's distance is a mean over parts; here a small network weighs what of two aligned parts agrees
and differs, beside the first stage's similarity, its margin and its z-score in the list.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.reranker import nearness

HIDDEN = 64
CONTEXT = 3
SMALLEST = 1e-4


class PairNetwork(nn.Module):
    """Parts of a probe and of its candidates, with the first stage's similarities -> distances.

    Args:
        width: d, features of a part.
        grid: (rows, columns) of the parts, column by column.
        sees_parts: False leaves the similarities alone, as a control.
    """

    def __init__(self, width: int, grid: tuple[int, int], *, sees_parts: bool = True) -> None:
        super().__init__()
        self.sees_parts = sees_parts
        self.position = nn.Parameter(nearness(*grid))
        self.sharpness = nn.Parameter(torch.tensor(20.0))
        self.evidence = nn.Sequential(nn.Linear(2 * width + 3, HIDDEN), nn.GELU(), nn.Dropout(0.2))
        self.salience = nn.Linear(HIDDEN, 1)
        self.scale = nn.Parameter(torch.tensor(10.0))
        inputs = CONTEXT + (HIDDEN + 1 if sees_parts else 0)
        last = nn.Linear(48, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.judge = nn.Sequential(nn.Linear(inputs, 48), nn.GELU(), nn.Dropout(0.2), last)

    def forward(self, probes: Tensor, candidates: Tensor, similarities: Tensor) -> Tensor:
        """Distances `[B, n]`, as `models.reranker.StripReranker` gives them: the first stage's at first."""
        seen = list_context(similarities)
        if self.sees_parts:
            own = probes.unsqueeze(1).expand_as(candidates)
            pair = (self._side(own, candidates) + self._side(candidates, own)) / 2
            seen = torch.cat([seen, pair], dim=-1)
        judged: Tensor = self.judge(seen).squeeze(-1)
        return self.scale * (1 - similarities) - judged

    def _side(self, own: Tensor, other: Tensor) -> Tensor:
        """What the parts of one image say of another's, `[..., s, d]` each -> `[..., HIDDEN + 1]`."""
        cosines = own @ other.transpose(-2, -1)
        attention = (self.sharpness * cosines + self.position).softmax(dim=-1)
        aligned = attention @ other
        agreement = (attention * cosines).sum(dim=-1, keepdim=True)
        in_place = torch.diagonal(cosines, dim1=-2, dim2=-1).unsqueeze(-1)
        best = cosines.amax(dim=-1, keepdim=True)
        # Parts have unit length: the factors bring their single numbers to about 1.
        features = [8 * (own - aligned).abs(), 16 * own * aligned, agreement, in_place, best]
        evidence = self.evidence(torch.cat(features, dim=-1))
        weights = self.salience(evidence).softmax(dim=-2)
        return torch.cat([(weights * evidence).sum(dim=-2), agreement.mean(dim=-2)], dim=-1)


class MutualMatches(nn.Module):
    """A control without training: parts that are each other's best match, their cosines summed.

    Parts have unit length; the distance is 1 - sum / s.
    """

    def forward(self, probes: Tensor, candidates: Tensor, similarities: Tensor) -> Tensor:  # noqa: ARG002
        """Distances `[B, n]`."""
        cosines = probes.unsqueeze(1) @ candidates.transpose(-2, -1)
        mutual = (cosines == cosines.amax(-1, keepdim=True)) & (cosines == cosines.amax(-2, keepdim=True))
        return 1 - (cosines * mutual).sum(dim=(-2, -1)) / probes.shape[-2]


def list_context(similarities: Tensor) -> Tensor:
    """Similarities `[B, n]` -> each with its margin over the best other one and its z-score, `[B, n, 3]`."""
    first = similarities.topk(2, dim=1).values
    best_other = torch.where(similarities == first[:, :1], first[:, 1:], first[:, :1])
    deviation = similarities.std(dim=1, keepdim=True) + SMALLEST
    z = (similarities - similarities.mean(dim=1, keepdim=True)) / deviation
    return torch.stack([similarities, 5 * (similarities - best_other), z], dim=-1)
