"""The default bundle's recipe: what is trained, on what, with which settings.

Chosen on vehicles set aside from the training part alone; the validation vehicles were only measured.
`configs/vehicle-2cam.yaml` is the same embedder as an experiment of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from models.inputspec import InputSpec
from models.network import PLAIN, NetworkConfig
from models.reranker import RerankerConfig
from training.config.embedder import (
    AugmentationConfig,
    BatchConfig,
    InputConfig,
    LossConfig,
    OptimiserConfig,
    RunConfig,
    ScheduleConfig,
    TrainingConfig,
)
from training.config.reranker import HeadTraining, RerankerTraining

VALIDATION_VEHICLES = 81
SEED = 0
SIDE = 160

EMBEDDER = TrainingConfig(
    seed=SEED,
    batch=BatchConfig(vehicles=27, images=2, epoch="vehicles"),
    optimiser=OptimiserConfig(
        name="adamw", learning_rate=3.5e-4, weight_decay=5e-4, decay_all=False, clip=10.0
    ),
    schedule=ScheduleConfig(name="one-cycle", epochs=48, warm_up=9.6, freeze=0),
    losses=LossConfig(margin=None, descriptor=1.0, strips=1.0),
    augmentation=AugmentationConfig(flip=0.5, crop=0.25, colour=0.35, shrink=0.5, erase=0.5),
    input=InputConfig(mean=InputSpec.model_fields["mean"].default, std=InputSpec.model_fields["std"].default),
    run=RunConfig(precision="bf16", workers=0, cache=True),
)
# As plain as the first bundle's, whatever becomes of ours: a fixed thing to compare with.
PLAIN_EMBEDDER = EMBEDDER.model_copy(
    update={
        "losses": LossConfig(cross_entropy=1.0, margin=None, descriptor=0.0, strips=0.0),
        "schedule": ScheduleConfig(name="one-cycle", epochs=16, warm_up=3.2, freeze=0),
        "augmentation": AugmentationConfig(flip=0.5, crop=0.15, colour=0.25, shrink=0.3, erase=0.5),
    }
)
# One head: strips are compared as a whole. The sharpness was chosen on halves of training vehicles.
RERANKER = RerankerConfig(heads=1, fusion=1.0, distance="attention", sharpness=20.0)


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
        head: how the strips' head is trained anew once its embedder is finished; None keeps the embedder's.
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
        default_factory=lambda: NetworkConfig(ibn=True, v1=True, image_size=(SIDE, SIDE), strips=4)
    )
    embedder: TrainingConfig = EMBEDDER
    head: HeadTraining | None = field(default_factory=HeadTraining)
    shape: RerankerConfig = RERANKER
    reranker: RerankerTraining = field(default_factory=RerankerTraining)
    plain: NetworkConfig = field(
        default_factory=lambda: NetworkConfig(
            PLAIN, ibn=False, v1=True, last_stride=2, image_size=(SIDE, SIDE)
        )
    )
    plain_training: TrainingConfig = PLAIN_EMBEDDER
