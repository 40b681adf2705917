"""The bound of the information-bottleneck loss (RIB)."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from models.information import bottleneck_bound
from models.losses import LOSSES, BranchBatch, BranchLoss, LossSettings
from models.losses.statistics import ClassStatistics


class IBBSettings(LossSettings):
    """Keys of RIB's bound."""

    ibb: float = Field(
        default=1.0,
        ge=0,
        description="eta, the information-bottleneck bound; mean over the branches that have it",
    )
    ibb_warm_up: int = Field(
        default=10,
        ge=1,
        description="epochs before it joins, in which a branch that has it learns from its cross-entropy "
        "alone, if it has one",
    )
    ibb_estimate: bool = Field(
        default=True,
        description="also estimate the bounded term, for the report; costs images times vehicles squared",
    )


def ibb(batch: BranchBatch, _: IBBSettings) -> Tensor:
    """IBB of this process's images: F is the branch's pooled feature, X the mean of the trunk's map.

    Raises:
        ValueError: there are no statistics of an epoch before.
    """
    if not isinstance(batch.statistics, ClassStatistics) or batch.early is None:
        raise ValueError("the loss ibb needs an epoch's statistics, which the trainer keeps")
    log_f, log_x = batch.statistics.assignments(batch.pooled.float(), batch.early.float())
    return bottleneck_bound(log_f, log_x, batch.statistics.log_q, batch.labels)


LOSSES.register(
    "ibb",
    BranchLoss(
        ibb,
        IBBSettings,
        statistics=lambda classes, features, early, settings: ClassStatistics(
            classes, features, early, estimate=settings.ibb_estimate
        ),
        warm_up=lambda settings: settings.ibb_warm_up,
    ),
)
