"""What an export adds so that a match can be explained: attention, strip distances, activation maps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.network import LKAReID
from models.reranker import StripReranker

ATTENTION_OUTPUTS = ("probe_attention", "candidate_attention", "distances")


class ActivatedEmbedder(nn.Module):
    """The embedder with its branches' activations as one more output.

    Args:
        network: an embedder for inference.
    """

    def __init__(self, network: LKAReID) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """`[B, 3, H, W]` -> descriptor `[B, d]`, strips `[B, s, w]` or None, `activations` of the maps."""
        shared = self.network.trunk(images)
        maps = self.network.branch_maps(shared)
        strips = self.network.strips(shared, maps)
        descriptor = self.network.describe(self.network.pool(maps))
        return descriptor, strips, activations(maps, signed=self.network.config.vit is not None)


class AttentionExplainer(nn.Module):
    """`StripReranker.explain` as a module of its own, for export.

    Args:
        reranker: whose attention is shown.
    """

    def __init__(self, reranker: StripReranker) -> None:
        super().__init__()
        self.reranker = reranker

    def forward(self, probes: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `StripReranker.explain`."""
        return self.reranker.explain(probes, candidates)


def activations(maps: list[Tensor], *, signed: bool = False) -> Tensor:
    """The mean over the channels of each branch's map: a list of `[B, F, H, W]` -> `[B, branches, H, W]`.

    Maps that come out of a ReLU have nothing that cancels; of a ViT's signed ones the size counts. The
    paper's figure 4 weighs the channels by the gradient of a class (Grad-CAM); a served embedder has neither
    classes nor gradients.
    """
    means = []
    for branch_map in (each.abs() for each in maps) if signed else maps:
        # As a product: ONNX Runtime also computes what nobody fetches, and reduces channels slowly.
        equal = branch_map.new_full((1, branch_map.shape[1]), 1 / branch_map.shape[1])
        means.append((equal @ branch_map.flatten(2)).unflatten(2, branch_map.shape[2:]))
    return torch.cat(means, dim=1)
