"""Everything that can be set of the second stage's training, each key typed and described.

The defaults are CarGait's (Habib et al., ICCV 2025), apart from `lists.mining`. A file
`configs/reranker-*.yaml` is one `RerankerExperimentConfig`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from models.reranker import Distance, RerankerConfig
from training.config.embedder import BundleConfig
from training.config.section import Count, NotNegative, Positive, Probability, Section

Mining = Literal["out-of-fold", "augmented", "own"]
CheckpointBy = Literal["vehicles", "folds", "measured", "last"]


@dataclass(frozen=True)
class HeadTraining:
    """How a head is trained: contrastive loss on the strips' mean cosine, vehicles in pairs.

    Attributes:
        steps: of AdamW, with a one-cycle schedule.
        vehicles: in a batch, two images of each.
        learning_rate: peak.
        temperature: of the loss.
        seed: of initialisation and batches.
        views: changed copies of every image, beside the image itself.
        parts: (rows, columns) of a grid on the trunk's map, in place of the strips; None for strips.
        width: features of a part.
        images: learn from so many at most, whole vehicles; 0 for all.
    """

    steps: int = 300
    vehicles: int = 64
    learning_rate: float = 1e-3
    temperature: float = 0.07
    seed: int = 0
    views: int = 2
    parts: tuple[int, int] | None = None
    width: int = 128
    images: int = 0


@dataclass(frozen=True)
class RerankerTraining:
    """How a re-ranker is trained.

    Attributes:
        candidates: v, length of the list mined for each probe; 30 in the paper. Longer lists than what is
            re-ordered later taught nothing more.
        beta: weight of a triplet that the first stage has in order already; 0.1 in the paper, where it
            keeps the many easy triplets of a large set from outweighing the hard ones.
        alpha: weight of the classification loss.
        scale: the distances' factor in the ranking loss; 1 is the paper's. Strips of unit length lie
            within a few tenths of each other, where an unscaled sigmoid hardly changes.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        batch: probes a step.
        steps: at most.
        check_every: steps between two looks at the validation loss; the best one's weights are kept.
        seed: of everything that is drawn.
        selection_start: temperature of the selection of channels at the first step, if there is one.
        selection_end: at the last step.
    """

    candidates: int = 10
    beta: float = 1.0
    alpha: float = 0.01
    scale: float = 20.0
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    batch: int = 16
    steps: int = 120
    check_every: int = 40
    seed: int = 0
    selection_start: float = 2.0
    selection_end: float = 0.5


class ListsConfig(Section):
    """What it learns from: a candidate list of a frozen embedder for every training image."""

    mining: Mining = Field(
        default="out-of-fold",
        description="which embedder makes the lists of which probes. out-of-fold: one that has not seen the "
        "fold's vehicles; augmented: the embedder itself, of changed copies of its training images; own: the "
        "embedder itself, of its training images, which leaks and is for comparison",
    )
    folds: Annotated[int, Field(gt=1)] = Field(
        default=2, description="out-of-fold: parts of the training vehicles, each with an embedder of its own"
    )
    views: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="changed copies of every image: more lists, and in augmented mining the only probes; "
        "changed as the embedder's training changes images",
    )
    images: Annotated[int, Field(ge=0)] = Field(
        default=0, description="images of whole vehicles whose lists are learned from at most; 0: all"
    )
    candidates: Annotated[int, Field(gt=1)] = Field(default=30, description="v, length of a list")
    precision: Literal["fp32", "bf16"] = Field(
        default="fp32", description="of the embedder's forward pass (autocast)"
    )
    seed: Annotated[int, Field(ge=0)] = Field(
        default=0, description="of the folds, the changed copies and the vehicles set aside"
    )

    @model_validator(mode="after")
    def _has_probes(self) -> Self:
        if self.mining == "augmented" and not self.views:
            raise ValueError("augmented mining has changed copies as probes; set views to 1 or more")
        return self


class HeadConfig(Section):
    """The strips' head, trained anew on the finished maps of the embedder that it belongs to."""

    steps: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="of AdamW along one cycle; 0 keeps the head that was trained beside the embedder",
    )
    vehicles: Annotated[int, Field(gt=1)] = Field(
        default=64, description="vehicles in a batch, two images of each"
    )
    learning_rate: Positive = Field(default=1e-3, description="at the peak")
    temperature: Positive = Field(default=0.07, description="of the contrastive loss")
    views: Annotated[int, Field(ge=0)] = Field(
        default=2, description="changed copies of every image, beside the image itself"
    )
    parts: tuple[Count, Count] | None = Field(
        default=None,
        description="rows and columns of a grid of parts on the trunk's map, in place of strips",
    )
    width: Count = Field(default=128, description="parts: features of one")
    images: Annotated[int, Field(ge=0)] = Field(
        default=0, description="images of whole vehicles to learn from at most; 0: all"
    )

    def build(self, seed: int) -> HeadTraining | None:
        """How it is trained; None where it is kept."""
        return HeadTraining(seed=seed, **self.model_dump()) if self.steps else None


class RerankerShapeConfig(Section):
    """The shape of the re-ranker (models.reranker); strips and their width are the embedder's."""

    heads: Count = Field(default=8, description="of the attention")
    shared: bool = Field(default=True, description="both directions share their weights")
    fusion: NotNegative = Field(
        default=0.0, description="weight of 1 - similarity of the first stage, added to the strip distance"
    )
    distance: Distance = Field(
        default="place",
        description="place: CarGait's, each strip and the one in its place; attention: each strip and those "
        "that it looks at",
    )
    sharpness: Positive = Field(
        default=4.0, description="mean score of two equal strips in a head, before the softmax, untrained"
    )
    weighted: bool = Field(
        default=False, description="weigh the distances of the strips by what is learned of each"
    )

    selection: bool = Field(
        default=False, description="select channels of the strips before the scores (DCS-Attention)"
    )

    def build(self, strip_width: int, grid: tuple[int, int] | None = None) -> RerankerConfig:
        """The re-ranker's own configuration.

        Args:
            strip_width: features of a strip.
            grid: (rows, columns) of parts, whose places it is given; None for strips.
        """
        return RerankerConfig(strip_width=strip_width, grid=grid, **self.model_dump())


class RerankerTrainingConfig(Section):
    """How it is trained: AdamW along a cosine to 0."""

    steps: Count = Field(default=100_000, description="length of the training")
    batch: Count = Field(default=16, description="lists a step")
    learning_rate: Positive = Field(default=1e-5, description="at the beginning")
    weight_decay: NotNegative = Field(default=1e-2, description="of AdamW")
    beta: Probability = Field(
        default=0.1, description="weight of a pair that the first stage has in order already"
    )
    alpha: NotNegative = Field(default=0.01, description="weight of the classification loss")
    scale: Positive = Field(default=1.0, description="the distances' factor in the ranking loss")
    check_every: Count = Field(
        default=1000, description="steps between two looks at the validation loss, and two checkpoints"
    )
    selection_start: Positive = Field(
        default=2.0, description="shape.selection: temperature of its Gumbel-softmax at the first step"
    )
    selection_end: Positive = Field(default=0.5, description="shape.selection: at the last step")

    @model_validator(mode="after")
    def _ends_with_a_check(self) -> Self:
        if self.steps % self.check_every:
            raise ValueError(f"steps ({self.steps}) must be a multiple of check_every ({self.check_every})")
        return self


class CheckpointConfig(Section):
    """Which step's weights are kept: those with the lowest ranking loss on some vehicles."""

    by: CheckpointBy = Field(
        default="vehicles",
        description="on which vehicles. vehicles: training vehicles set aside; folds: each fold, left out in "
        "turn, and then all of them trained on for as long; measured: the vehicles that are measured, whose "
        "figures are then optimistic; last: none, the last step's weights are kept",
    )
    vehicles: Annotated[int, Field(gt=1)] = Field(
        default=50, description="vehicles: how many; they are in no training list"
    )
    fusions: tuple[NotNegative, ...] = Field(
        default=(),
        description="folds, vehicles: weights of the first stage to choose from too, by the rank of the "
        "first correct match",
    )


class RerankerRunConfig(Section):
    """How the machine is used."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="auto: cuda where there is one; the embedders are trained there too"
    )
    batch: Count = Field(default=64, description="images embedded at a time")


class RerankerExperimentConfig(Section):
    """One experiment with the second stage."""

    name: str = Field(default="re-ranker", min_length=1, description="of the experiment and of its bundle")
    seed: Annotated[int, Field(ge=0)] = Field(default=0, description="of initialisation and batches")
    head: HeadConfig = HeadConfig()
    lists: ListsConfig = ListsConfig()
    shape: RerankerShapeConfig = RerankerShapeConfig()
    training: RerankerTrainingConfig = RerankerTrainingConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    run: RerankerRunConfig = RerankerRunConfig()
    bundle: BundleConfig = BundleConfig()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.checkpoint.by == "folds" and self.lists.mining != "out-of-fold":
            raise ValueError(f"checkpoint.by folds needs folds, which {self.lists.mining} mining has not")
        if self.checkpoint.fusions and self.checkpoint.by not in ("folds", "vehicles"):
            raise ValueError(
                "checkpoint.fusions are chosen from by vehicles that are not learned from; "
                "set checkpoint.by to folds or vehicles"
            )
        if self.head.parts is not None and not self.head.steps:
            raise ValueError("parts need a head of their own; set head.steps to 300 or so")
        if self.shape.weighted and self.shape.distance != "attention":
            raise ValueError("shape.weighted belongs to shape.distance attention")
        return self

    def build(self) -> RerankerTraining:
        """How the re-ranker is trained, as `train_reranker` takes it."""
        return RerankerTraining(
            candidates=self.lists.candidates, seed=self.seed, **self.training.model_dump()
        )
