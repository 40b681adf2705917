"""The embedder's losses: their weights, and the keys of those that are registered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, create_model

from models.losses import LOSSES
from models.losses.cross_entropy import CrossEntropySettings
from models.losses.ibb import IBBSettings
from models.losses.triplet import TripletSettings
from training.config.section import NotNegative, Positive, Probability, Section


class EmbedderLossConfig(Section):
    """The losses that are the whole network's and no branch's."""

    descriptor: NotNegative = Field(default=0.0, description="contrastive loss on the descriptor's cosine")
    strips: NotNegative = Field(default=0.0, description="contrastive loss on the strips' mean cosine")
    temperature: Positive = Field(default=0.07, description="of the contrastive losses")
    clusters: NotNegative = Field(
        default=0.0,
        description="contrast of the descriptor with the centres of all identities (cluster contrast), which "
        "a memory keeps",
    )
    clusters_momentum: Probability = Field(
        default=0.1, description="clusters: share of a centre that stays when images of it were seen"
    )
    distillation: NotNegative = Field(
        default=0.0,
        description="distance of an image's descriptor from the one that the embedder gave it before the "
        "training, so that little data does not lose what the start knew",
    )


if TYPE_CHECKING:

    class LossConfig(CrossEntropySettings, TripletSettings, IBBSettings, EmbedderLossConfig):
        """The keys of the losses that a type checker knows."""
else:
    # The keys of every registered loss, those of the first one first.
    LossConfig = create_model(
        "LossConfig",
        __base__=(EmbedderLossConfig, *(loss.settings for loss in reversed(LOSSES.values()))),
        __doc__="Weights of the losses; 0 switches one off.",
        __module__=__name__,
    )
