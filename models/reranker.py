"""The second stage: strip cross-attention between a probe and its candidates, after CarGait.

CarGait (Habib et al., ICCV 2025) has no public code; its distance follows its published description, with
vehicle strips (`models.strips`) in the place of its body strips. The distance along the attention is ours: a
crop that cuts a vehicle off moves every strip, and CarGait compares each with its own place.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from models.selection import ChannelSelection

CANDIDATES = 10
Distance = Literal["place", "attention"]
REACH = 0.35
"""How far a vehicle may lie off its place in a crop before training, as a part of the image's sides."""


@dataclass(frozen=True)
class RerankerConfig:
    """The shape of a re-ranker.

    Attributes:
        strip_width: d, features of a strip; divisible by `heads`.
        heads: of the attention.
        shared: both directions share their weights, which makes the distance symmetric.
        fusion: weight of 1 - similarity of the first stage, added to the strip distance; 0 is CarGait.
        distance: `place`, CarGait's, compares each strip, mixed with what it looks at, with the one in the
            same place; `attention` compares it, as it is, with the strips that it looks at.
        sharpness: mean score of two equal strips in a head, before the softmax, at the start of training.
        grid: (rows, columns) of parts, whose places the attention then knows; None for strips, whose it does
            not.
        weighted: the distances of the strips are weighed by what is learned of each, not alike.
        selection: channels of the strips are selected, image by image, before the scores (DCS-Attention).

    Raises:
        ValueError: a grid or weights for a distance that has none.
    """

    strip_width: int = 256
    heads: int = 8
    shared: bool = True
    fusion: float = 0.0
    distance: Distance = "place"
    sharpness: float = 4.0
    grid: tuple[int, int] | None = None
    weighted: bool = False
    selection: bool = False

    def __post_init__(self) -> None:
        if self.distance == "place" and (self.grid is not None or self.weighted):
            raise ValueError("a grid and weights of the strips belong to the distance `attention`")

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RerankerConfig:
        """The inverse of `to_dict`."""
        grid = values.get("grid")
        return cls(**{**values, "grid": tuple(grid) if grid is not None else None})


class Attention(nn.Module):
    """How much each strip of one image looks at each of another's, in several heads.

    Queries and keys start as the strips themselves, scaled: a strip looks at the other image's strips that
    are like it. (Strips have unit length: with weights of the usual size all scores are nearly 0, every
    strip looks at all others evenly, and training does not get away from there.)

    With a selection, an image's queries and keys keep the channels that the mean of its strips selects
    (DCS-Attention, arXiv 2505.08961): two images are compared by the channels that both have selected.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        sharpness: float,
        grid: tuple[int, int] | None = None,
        *,
        selection: bool = False,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"a strip width of {width} does not split into {heads} heads")
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        for layer in (self.query, self.key):
            nn.init.eye_(layer.weight)
            layer.weight.data.mul_((sharpness * heads * (width / heads) ** 0.5) ** 0.5)
            nn.init.zeros_(layer.bias)
        self.position = nn.Parameter(nearness(*grid)) if grid is not None else None
        self.selection = ChannelSelection(width) if selection else None

    def attention(self, queries: Tensor, context: Tensor) -> Tensor:
        """Weights `[..., heads, s, s]` of each query strip over the context's strips; rows sum to 1.

        Leading dimensions broadcast, so that a probe is projected once for all its candidates.
        """
        q, k = self.query(queries), self.key(context)
        if self.selection is not None:
            q, k = q * self._selected(queries), k * self._selected(context)
        q, k = self._split(q), self._split(k)
        scores: Tensor = q @ k.transpose(-2, -1) / (q.shape[-1] ** 0.5)
        if self.position is not None:
            scores = scores + self.position
        return scores.softmax(dim=-1)

    def _selected(self, strips: Tensor) -> Tensor:
        """1 for the channels that an image's strips `[..., s, d]` select, else 0: `[..., 1, d]`; or all 1."""
        if self.selection is None:
            return strips.new_ones(())
        mask: Tensor = self.selection(strips.mean(dim=-2, keepdim=True))
        return mask

    def _split(self, x: Tensor) -> Tensor:
        split: Tensor = x.unflatten(-1, (self.heads, -1))
        return split.transpose(-3, -2)


def nearness(rows: int, columns: int) -> Tensor:
    """What a part's score gains by its place, `[s, s]`, column by column: 0 in its own, less farther off."""
    column, row = torch.meshgrid(torch.arange(columns), torch.arange(rows), indexing="ij")
    places = torch.stack([column.flatten() / columns, row.flatten() / rows], dim=1)
    return -torch.cdist(places, places).square() / (2 * REACH**2)


class CrossAttention(Attention):
    """CarGait's: what the attention gathers of the other image's strips, plus the strips themselves.

    The output projection starts at zero: untrained, it leaves the strips as they are, and the distance is the
    plain distance of the strips.
    """

    def __init__(self, width: int, heads: int, sharpness: float, *, selection: bool = False) -> None:
        super().__init__(width, heads, sharpness, selection=selection)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def project(self, strips: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Strips `[..., s, d]` -> queries, keys and values `[..., heads, s, d / heads]`, in one product."""
        layers = (self.query, self.key, self.value)
        weight, bias = torch.cat([x.weight for x in layers]), torch.cat([x.bias for x in layers])
        projected = nn.functional.linear(strips, weight, bias).unflatten(-1, (3, -1))
        if self.selection is not None:
            mask = self._selected(strips)
            projected = projected * torch.stack([mask, mask, torch.ones_like(mask)], dim=-2)
        projected = projected.unflatten(-1, (self.heads, -1))
        queries, keys, values = (each.transpose(-3, -2) for each in projected.unbind(-3))
        return queries, keys, values

    @staticmethod
    def mix(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """The values as the queries see them, heads side by side: `[..., s, d]`."""
        scores = queries @ keys.transpose(-2, -1) / (queries.shape[-1] ** 0.5)
        mixed: Tensor = scores.softmax(dim=-1) @ values
        return mixed.transpose(-3, -2).flatten(-2)

    def forward(self, queries: Tensor, context: Tensor) -> Tensor:
        """`[..., s, d]` strips and the other image's `[..., s, d]` -> E of the former, `[..., s, d]`.

        Leading dimensions broadcast, so that a probe is projected once for all its candidates.
        """
        mixed = self.attention(queries, context) @ self._split(self.value(context))
        out: Tensor = self.output(mixed.transpose(-3, -2).flatten(-2)) + queries
        return out


class StripReranker(nn.Module):
    """Strips of a probe and of its candidates -> distances.

    By place, as in CarGait: E_p = MHCA(Q = F_p, K = V = F_c) + F_p, and the other way round for E_c; the
    distance is the mean over the strips of the Euclidean distance between the two.

    Along the attention: with the attention a of the probe's strips over the candidate's (mean over the
    heads) and b the other way round, the mean over both images' strips of the Euclidean distance to what each
    looks at, (sum_ij a_ij |F_p,i - F_c,j| + sum_ij b_ji |F_p,i - F_c,j|) / 2s. Weighted, the rows of a and b
    count as much as is learned of their strips, s on the whole.
    """

    def __init__(self, config: RerankerConfig | None = None) -> None:
        super().__init__()
        self.config = config or RerankerConfig()
        self.probe_attention = self._attention()
        self.candidate_attention = self.probe_attention if self.config.shared else self._attention()
        self.salience: nn.Linear | None = None
        if self.config.weighted:
            self.salience = nn.Linear(self.config.strip_width, 1)
            nn.init.zeros_(self.salience.weight)

    def _attention(self) -> Attention:
        config = self.config
        if config.distance == "attention":
            return Attention(
                config.strip_width, config.heads, config.sharpness, config.grid, selection=config.selection
            )
        return CrossAttention(config.strip_width, config.heads, config.sharpness, selection=config.selection)

    def embed(self, probes: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """Probes `[B, s, d]`, candidates `[B, n, s, d]` -> E_p and E_c, `[B, n, s, d]` each.

        Raises:
            ValueError: the distance is taken along the attention, which leaves the strips as they are.
        """
        probe = probes.unsqueeze(1)
        own, other = mixing(self.probe_attention), mixing(self.candidate_attention)
        return own(probe, candidates), other(candidates, probe)

    def forward(self, probes: Tensor, candidates: Tensor, similarities: Tensor) -> Tensor:
        """Distances `[B, n]`, smaller is nearer.

        Args:
            probes: `[B, s, d]`.
            candidates: `[B, n, s, d]`.
            similarities: `[B, n]`, the first stage's cosine similarities.
        """
        if self.config.distance == "attention":
            distances = self._along(probes.unsqueeze(1), candidates).mean(dim=-1)
        elif self.config.shared:
            distances = strip_length(self._difference(probes.unsqueeze(1), candidates))
        else:
            distances = strip_distance(*self.embed(probes, candidates))
        return distances + self.config.fusion * (1 - similarities)

    def explain(self, probes: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the distance of one candidate a probe rests on.

        Args:
            probes: `[B, s, d]`.
            candidates: `[B, s, d]`.

        Returns:
            The attention of the probe's strips over the candidate's and the other way round,
            `[B, heads, s, s]` each, and the distance of each of the probe's strips `[B, s]`; its mean is the
            strips' part of `forward`.
        """
        if self.config.distance == "attention":
            lengths = self._along(probes, candidates)
        else:
            e_p, e_c = self.embed(probes, candidates.unsqueeze(1))
            lengths = strip_lengths((e_p - e_c).squeeze(1))
        return (
            self.probe_attention.attention(probes, candidates),
            self.candidate_attention.attention(candidates, probes),
            lengths,
        )

    def _along(self, probe: Tensor, candidates: Tensor) -> Tensor:
        """What each of the probe's strips is from those it looks at and that look at it, `[..., s]`."""
        looks = self.probe_attention.attention(probe, candidates).mean(dim=-3)
        is_seen = self.candidate_attention.attention(candidates, probe).mean(dim=-3).transpose(-2, -1)
        if self.salience is not None:
            count = probe.shape[-2]
            looks = looks * (count * self.salience(probe).softmax(dim=-2))
            is_seen = is_seen * (count * self.salience(candidates).softmax(dim=-2)).transpose(-2, -1)
        return ((looks + is_seen) / 2 * strip_distances(probe, candidates)).sum(dim=-1)

    def _difference(self, probe: Tensor, candidates: Tensor) -> Tensor:
        """E_p - E_c under shared weights: each image is projected once, and one output serves both."""
        attention = mixing(self.probe_attention)
        (q_p, k_p, v_p), (q_c, k_c, v_c) = attention.project(probe), attention.project(candidates)
        mixed = attention.mix(q_p, k_c, v_c) - attention.mix(q_c, k_p, v_p)
        out: Tensor = nn.functional.linear(mixed, attention.output.weight) + (probe - candidates)
        return out


def mixing(attention: Attention) -> CrossAttention:
    """An attention as CarGait's.

    Raises:
        ValueError: it is of a re-ranker that compares along its attention.
    """
    if not isinstance(attention, CrossAttention):
        raise ValueError("a re-ranker that compares along its attention mixes no strips")
    return attention


def strip_distance(first: Tensor, second: Tensor) -> Tensor:
    """Mean over corresponding strips of the Euclidean distance: two `[..., s, d]` -> `[...]`.

    Differentiable everywhere: the root's slope at 0 is cut off, its value is not.
    """
    return strip_length(first - second)


def strip_length(difference: Tensor) -> Tensor:
    """Mean over the strips of the Euclidean length: `[..., s, d]` -> `[...]`; see `strip_distance`."""
    return strip_lengths(difference).mean(dim=-1)


def strip_lengths(difference: Tensor) -> Tensor:
    """The Euclidean length of each strip: `[..., s, d]` -> `[..., s]`; see `strip_distance`."""
    return _root(difference.square().sum(dim=-1))


def strip_distances(first: Tensor, second: Tensor) -> Tensor:
    """From each strip to each: `[..., s, d]` and `[..., t, d]` -> `[..., s, t]`; see `strip_distance`."""
    lengths = first.square().sum(dim=-1).unsqueeze(-1) + second.square().sum(dim=-1).unsqueeze(-2)
    return _root((lengths - 2 * first @ second.transpose(-2, -1)).clamp_min(0))


def _root(squared: Tensor) -> Tensor:
    return torch.where(squared > 0, squared.clamp_min(1e-12).sqrt(), squared)
