"""How much a feature knows of its input and of the identity, by soft clusters around class means.

Learning Informative Attention Weights (arXiv 2505.08961): z, a feature of unit length, belongs to the cluster
a with probability phi(z, a) = softmax_a(-|z - c_a|^2), c_a being the mean of class a. With F a learned
feature, X an earlier one of the same image and Y its class, the information-bottleneck term is
I(F;X) - I(F;Y) of the clusters. IBB plus the entropy of X's clusters bounds it from above: x log x is convex,
and log Q(i | y) is on average no better than the log of the true share. The loss leaves that entropy out.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def log_assignments(features: Tensor, centroids: Tensor) -> Tensor:
    """log phi of features `[B, D]`, made unit long, to centroids `[C, D]`: `[B, C]`.

    |z|^2 is the same for every centroid and cancels.
    """
    unit = F.normalize(features, dim=1)
    return (2 * unit @ centroids.T - centroids.square().sum(dim=1)).log_softmax(dim=1)


def bottleneck_bound(log_f: Tensor, log_x: Tensor, log_q: Tensor, labels: Tensor) -> Tensor:
    """IBB of a batch: mean_n [sum_ij phi_F(i) phi_X(j) log phi_X(j) - sum_i phi_F(i) log Q(i | y_n)].

    phi_F sums to 1, so that the double sum is one over j alone: the cost is images times classes.

    Args:
        log_f: log phi of the learned features, `[B, C]`.
        log_x: log phi of the earlier features, `[B, C]`.
        log_q: log Q(cluster | class), `[classes, C]`.
        labels: `[B]`.
    """
    of_input = (log_x.exp() * log_x).sum(dim=1)
    of_label = (log_f.exp() * log_q[labels]).sum(dim=1)
    return (of_input - of_label).mean()


def mutual_information(joint: Tensor) -> Tensor:
    """I of two variables with joint probabilities `[A, B]`, in nats."""
    product = joint.sum(dim=1, keepdim=True) * joint.sum(dim=0, keepdim=True)
    return (torch.xlogy(joint, joint) - torch.xlogy(joint, product)).sum()


def entropy(probabilities: Tensor) -> Tensor:
    """Of `[A]`, in nats."""
    return -torch.xlogy(probabilities, probabilities).sum()
