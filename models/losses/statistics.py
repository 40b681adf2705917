"""What a loss knows of all images of an epoch: class means, and how clusters and classes go together."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.information import entropy, log_assignments, mutual_information

SMALLEST = 1e-8
"""Of a probability before its logarithm."""


class ClassStatistics(nn.Module):
    """Centroids of an epoch's features and Q(cluster | class), refreshed at the end of each epoch.

    Everything is summed up over the steps of an epoch, of all processes' images alike, so that no further
    pass over the images is needed; it lies in buffers, so that a checkpoint holds it. A class that an epoch
    has not shown keeps its centroid. Until there are assignments to count, Q is that of the centroids.

    Args:
        classes: C.
        features: length of a learned feature.
        early: length of an earlier feature.
        estimate: also estimate the true term, which costs images times classes squared.
    """

    def __init__(self, classes: int, features: int, early: int, *, estimate: bool = True) -> None:
        super().__init__()
        self.estimate = estimate
        shapes = {
            "centroids": (classes, features),
            "early_centroids": (classes, early),
            "log_q": (classes, classes),
            "sums": (classes, features),
            "early_sums": (classes, early),
            "counts": (classes,),
            "assigned": (classes, classes),
            "early_assigned": (classes,),
            "joint": (classes, classes) if estimate else (0, 0),
            "bounds": (),
            "observed": (),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape))
        self.register_buffer("epochs", torch.zeros((), dtype=torch.long))
        self._ended: int | None = 0
        self.register_load_state_dict_post_hook(_look_again)  # type: ignore[no-untyped-call]

    centroids: Tensor
    early_centroids: Tensor
    log_q: Tensor
    sums: Tensor
    early_sums: Tensor
    counts: Tensor
    assigned: Tensor
    early_assigned: Tensor
    joint: Tensor
    bounds: Tensor
    observed: Tensor
    epochs: Tensor

    @property
    def ended(self) -> int:
        """Epochs that it was refreshed after; a step that asks does not wait for a GPU."""
        if self._ended is None:
            self._ended = int(self.epochs)
        return self._ended

    def assignments(self, features: Tensor, early: Tensor) -> tuple[Tensor, Tensor]:
        """log phi of learned features `[B, F]` and of earlier ones `[B, E]`: `[B, C]` each."""
        return log_assignments(features, self.centroids), log_assignments(early, self.early_centroids)

    @torch.no_grad()
    def observe(self, features: Tensor, early: Tensor, labels: Tensor) -> None:
        """Count a step's images.

        Args:
            features: `[N, F]`, of all processes.
            early: `[N, E]`.
            labels: `[N]`.
        """
        self.sums.index_add_(0, labels, F.normalize(features, dim=1))
        self.early_sums.index_add_(0, labels, F.normalize(early, dim=1))
        self.counts.index_add_(0, labels, torch.ones_like(labels, dtype=self.counts.dtype))
        if not self.ended:
            return
        log_f, log_x = self.assignments(features, early)
        f, x = log_f.exp(), log_x.exp()
        self.assigned.index_add_(0, labels, f)
        self.early_assigned += x.sum(dim=0)
        self.bounds += (x * log_x).sum() - (f * self.log_q[labels]).sum()
        self.observed += len(labels)
        if self.estimate:
            self.joint += f.T @ x

    @torch.no_grad()
    def refresh(self) -> dict[str, float]:
        """End an epoch: new centroids and Q; what the epoch's features knew, from the second epoch on.

        Returns:
            `bound`, that of the paper plus the entropy of the earlier features' clusters, and `estimate`, the
            true term, in nats.
        """
        found = self._figures() if self.observed else {}
        seen = (self.counts > 0).unsqueeze(1)
        divisor = self.counts.clamp_min(1).unsqueeze(1)
        self.centroids.copy_(torch.where(seen, self.sums / divisor, self.centroids))
        self.early_centroids.copy_(torch.where(seen, self.early_sums / divisor, self.early_centroids))
        own = log_assignments(self.centroids, self.centroids)
        total = self.assigned.sum(dim=1, keepdim=True)
        counted = (self.assigned / total.clamp_min(SMALLEST)).clamp_min(SMALLEST).log()
        self.log_q.copy_(torch.where(total > 0, counted, own))
        for sums in (self.sums, self.early_sums, self.counts, self.assigned, self.early_assigned, self.joint):
            sums.zero_()
        self.bounds.zero_()
        self.observed.zero_()
        ended = self.ended + 1
        self.epochs.fill_(ended)
        self._ended = ended
        return found

    def _figures(self) -> dict[str, float]:
        number = self.observed.double()
        of_input = entropy(self.early_assigned.double() / number)
        found = {"bound": float(self.bounds.double() / number + of_input)}
        if self.estimate:
            of_label = mutual_information(self.assigned.double() / number)
            found["estimate"] = float(mutual_information(self.joint.double() / number) - of_label)
        return found


def _look_again(module: nn.Module, _: object) -> None:
    if isinstance(module, ClassStatistics):
        module._ended = None
