"""Everything that can be set of a training, each key typed and described; the defaults are the paper's.

A file in `configs/` is one `ExperimentConfig`; `training.config.files` reads and writes it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from models.inputspec import InputSpec
from training.config.data import DataConfig
from training.config.losses import LossConfig
from training.config.network import ShapeConfig, WeightsConfig
from training.config.section import Count, NotNegative, Positive, Probability, Section


class BatchConfig(Section):
    """What a step learns from: P vehicles with K images each."""

    vehicles: Annotated[int, Field(gt=1)] = Field(default=6, description="P, different vehicles in a batch")
    images: Annotated[int, Field(gt=1)] = Field(default=8, description="K, images of each vehicle")
    epoch: Literal["images", "vehicles"] = Field(
        default="images", description="an epoch shows every image about once, or every vehicle once"
    )
    by_type: bool = Field(default=False, description="fill a batch with vehicles of one type where possible")
    by_group: bool = Field(
        default=False, description="fill a batch with whole groups of vehicles that are hard to tell apart"
    )


class OptimiserConfig(Section):
    """How a gradient becomes a step."""

    name: Literal["adam", "adamw", "sgd"] = Field(
        default="adam", description="update rule; sgd has momentum 0.9"
    )
    learning_rate: Positive = Field(default=1e-4, description="peak of the schedule")
    new_rate: Positive = Field(default=1.0, description="factor on it for parts without pretrained weights")
    weight_decay: NotNegative = Field(default=5e-4, description="weight decay")
    decay_all: bool = Field(default=True, description="also decay norms and biases")
    clip: Positive | None = Field(
        default=None, description="largest norm of the whole gradient; null for no limit"
    )


class ScheduleConfig(Section):
    """How the learning rate runs over the epochs."""

    name: Literal["step", "cosine", "one-cycle", "constant"] = Field(
        default="step", description="shape after warm-up"
    )
    epochs: Annotated[int, Field(ge=0)] = Field(
        default=130, description="length of the training; 0 keeps the weights that it starts from"
    )
    warm_up: NotNegative = Field(
        default=10,
        description="epochs before the peak; linear, but a cosine in one-cycle; parts of one count",
    )
    milestones: tuple[Count, ...] = Field(
        default=(40, 70, 100), description="step: epochs after which it falls"
    )
    factor: Probability = Field(default=0.1, description="step: what it is multiplied by then")
    final: Probability = Field(
        default=0.01, description="cosine: fraction of the peak that is left at the end"
    )
    freeze: Annotated[int, Field(ge=0)] = Field(
        default=10, description="epochs in which the trunk (stem and stages 1-3) keeps its weights"
    )
    frozen_stages: Annotated[int, Field(ge=0, le=3)] = Field(
        default=0, description="stem and first stages that keep their weights in all epochs; 0: none"
    )
    freeze_norms: bool = Field(
        default=False,
        description="batch norms keep their statistics, as those of a bundle must, which are folded",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.epochs and self.warm_up >= self.epochs:
            raise ValueError(f"a warm_up of {self.warm_up:g} leaves nothing of {self.epochs} epochs")
        return self


class AugmentationConfig(Section):
    """Random changes of a training image: probabilities and ranges; 0 switches a change off."""

    flip: Probability = Field(default=0.5, description="probability of a mirror image")
    crop: Probability = Field(default=0.0, description="largest fraction of a side that a crop takes off")
    colour: Probability = Field(
        default=0.0, description="largest change of brightness, contrast and saturation"
    )
    grey: Probability = Field(default=0.0, description="probability of a grey image")
    shrink: Probability = Field(default=0.0, description="probability of a loss of resolution")
    erase: Probability = Field(default=0.5, description="probability of erasing a rectangle")
    corners: Probability = Field(
        default=0.0, description="largest move of a corner, as a fraction of a side: another point of view"
    )
    style: NotNegative = Field(
        default=0.0,
        description="strength of another camera's exposure, colours, light, noise and blur, drawn for each "
        "image; 1 goes from noon to dusk",
    )
    surroundings: Probability = Field(
        default=0.0, description="style: probability of another road about the vehicle"
    )
    mix_style: Probability = Field(
        default=0.0,
        description="probability that the images of a batch mix their maps' means and deviations behind "
        "stages 1 and 2 (MixStyle)",
    )


class InputConfig(Section):
    """How pixels become numbers; the bundle repeats it to the service."""

    mean: tuple[float, float, float] = Field(
        default=(0.5, 0.5, 0.5), description="taken from values in 0..1, RGB"
    )
    std: tuple[Positive, Positive, Positive] = Field(
        default=(0.5, 0.5, 0.5), description="then divided by, RGB"
    )


class SelectionConfig(Section):
    """How the mixer `dcs` learns which channels to attend by: the temperature of its Gumbel-softmax."""

    start: Positive = Field(default=2.0, description="temperature of the first step")
    end: Positive = Field(
        default=0.5, description="of the last step; in between it falls by the same factor every step"
    )


class RunConfig(Section):
    """How the machine is used; apart from `precision` and `deterministic`, no result depends on it."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="auto: cuda where there is one"
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        default="fp16", description="of the forward pass (autocast)"
    )
    channels_last: bool = Field(default=True, description="memory layout of maps and convolutions")
    compile: bool = Field(default=False, description="torch.compile the forward pass")
    deterministic: bool = Field(
        default=False, description="cuda: only kernels that repeat their numbers (slower)"
    )
    workers: Annotated[int, Field(ge=0)] = Field(
        default=4,
        description="processes that decode and change images; 0: a thread of this one, a batch ahead",
    )
    cache: bool = Field(default=False, description="keep every decoded image in memory")


class TrainingConfig(Section):
    """How an embedder is trained, whatever its shape and its data."""

    seed: Annotated[int, Field(ge=0)] = Field(default=0, description="of everything that is drawn")
    batch: BatchConfig = BatchConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    losses: LossConfig = LossConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    input: InputConfig = InputConfig()
    average: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="decay of the exponential average of the weights, per step; 0 for none"
    )
    start_share: Probability = Field(
        default=0.0,
        description="share of the start in the trunk's weights, in all of them where the start is a bundle, "
        "mixed in when the training has ended (WiSE-FT); norms that are not frozen are estimated anew; "
        "0: none",
    )
    selection: SelectionConfig = SelectionConfig()
    run: RunConfig = RunConfig()


class ProjectionConfig(Section):
    """Directions in which images of one vehicle differ, taken out of the descriptor after the training."""

    directions: Annotated[int, Field(ge=0)] = Field(default=0, description="how many at most; 0: none")
    softness: NotNegative = Field(
        default=0.2, description="what is left in each, by its variance; 0 takes them out whole"
    )
    views: Annotated[int, Field(ge=0)] = Field(
        default=3, description="changed images of each one, beside itself, that it is estimated from"
    )
    images: Count = Field(default=1500, description="of each data set at most, of whole vehicles")


class EvaluationConfig(Section):
    """Measuring while and after training."""

    every: Annotated[int, Field(ge=0)] = Field(
        default=10, description="epochs between two looks; 0: at the end only"
    )
    batch: Count = Field(default=64, description="images at a time")
    hardest: Annotated[int, Field(ge=0)] = Field(
        default=8, description="queries on the sheet of hardest ones"
    )


class BundleConfig(Section):
    """What is exported at the end."""

    export: bool = Field(default=True, description="write a bundle that `lka-reid serve` takes")
    precision: Literal["fp32", "int8"] = Field(default="fp32", description="how its weights are stored")
    image_size: tuple[Count, Count] | None = Field(
        default=None,
        description="height and width that it is served and measured at, px, multiples of 16; null: those of "
        "its training. Somewhat larger than in training is often better",
    )
    flip: bool = Field(
        default=False,
        description="a descriptor is the mean of an image's and its mirror image's, for twice the time: more "
        "accurate for vehicles of unseen designs",
    )
    torch_weights: bool = Field(
        default=False, description="also write float32 weights, which the runtime torch-cuda needs"
    )


class ExperimentConfig(TrainingConfig):
    """One experiment."""

    name: str = Field(default="experiment", min_length=1, description="of the experiment and of its bundle")
    data: DataConfig = DataConfig()
    network: ShapeConfig = ShapeConfig()
    weights: WeightsConfig = WeightsConfig()
    projection: ProjectionConfig = ProjectionConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    bundle: BundleConfig = BundleConfig()

    @model_validator(mode="after")
    def _keeps_folded_norms(self) -> Self:
        if self.weights.layout == "bundle" and not self.schedule.freeze_norms:
            raise ValueError(
                "a bundle's norms are folded into its convolutions and cannot be estimated anew; "
                "set schedule.freeze_norms to true"
            )
        if self.network.vit is not None and self.augmentation.mix_style:
            raise ValueError(
                "a ViT has no residual stages behind which styles are mixed; leave mix_style out"
            )
        if self.network.vit is not None and (self.schedule.frozen_stages or self.weights.layout == "bundle"):
            raise ValueError(
                "a ViT has no residual stages to freeze and starts from no published weights; leave out "
                "schedule.frozen_stages and weights.layout"
            )
        if any(side % 16 for side in self.served_size):
            raise ValueError(f"bundle.image_size must be multiples of 16 px, not {self.served_size}")
        return self

    @property
    def spec(self) -> InputSpec:
        """What the network wants to see in training."""
        return self.spec_at(self.network.image_size)

    def spec_at(self, image_size: tuple[int, int]) -> InputSpec:
        """What a network of this experiment for images of some (height, width) in px wants to see."""
        height, width = image_size
        return InputSpec(height=height, width=width, mean=self.input.mean, std=self.input.std)

    @property
    def served_size(self) -> tuple[int, int]:
        """Height and width in px that the bundle is served at."""
        return self.bundle.image_size or self.network.image_size

    @property
    def served_spec(self) -> InputSpec:
        """What the bundle wants to see."""
        return self.spec_at(self.served_size).model_copy(update={"flip": self.bundle.flip})

    def settings(self) -> dict[str, Any]:
        """What an embedder depends on, as JSON types; the rest may change while it is trained."""
        return self.model_dump(mode="json", exclude={"name", "run", "evaluation", "bundle"})
