"""The default bundle's recipe: what is trained, on what, with which settings.

Chosen on vehicles set aside from the training part alone; the validation vehicles were only measured.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from models.network import PLAIN, NetworkConfig
from models.reranker import RerankerConfig
from training.embedder import EmbedderConfig, LossConfig
from training.reranker import RerankerTraining

VALIDATION_VEHICLES = 81
SEED = 0


@dataclass(frozen=True)
class Recipe:
    """All settings of one bundle.

    Attributes:
        validation_vehicles: vehicles set aside to measure on.
        seed: of the split, the initialisation and everything drawn.
        folds: parts of the training vehicles; each has an embedder trained on the others, so that the
            re-ranker learns from lists of vehicles that their embedder has not seen.
        views: changed copies of every image in the re-ranker's training lists.
        network: the embedder's shape.
        embedder: its training, for the bundle and for the folds.
        shape: the re-ranker's shape; with its fusion it is trained, another may be chosen afterwards.
        reranker: its training.
        plain: the plain ResNet-50 to compare with.
        plain_training: its training.
    """

    validation_vehicles: int = VALIDATION_VEHICLES
    seed: int = SEED
    folds: int = 2
    views: int = 3
    network: NetworkConfig = field(
        default_factory=lambda: NetworkConfig(ibn=True, v1=True, image_size=(160, 160), strips=4)
    )
    embedder: EmbedderConfig = field(default_factory=EmbedderConfig)
    shape: RerankerConfig = field(default_factory=lambda: RerankerConfig(fusion=2.0))
    reranker: RerankerTraining = field(default_factory=RerankerTraining)
    plain: NetworkConfig = field(
        default_factory=lambda: NetworkConfig(PLAIN, ibn=False, v1=True, last_stride=2, image_size=(160, 160))
    )
    plain_training: EmbedderConfig = field(
        default_factory=lambda: EmbedderConfig(
            losses=LossConfig(cross_entropy=1.0, triplet=1.0, descriptor=0.0, strips=0.0)
        )
    )
