"""Everything that can be set of a training, each key typed and described; the defaults are the paper's.

A file in `configs/` is one `ExperimentConfig`; `training.config.files` reads and writes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model, model_validator

from models.inputspec import InputSpec
from models.losses import LOSSES
from models.losses.cross_entropy import CrossEntropySettings
from models.losses.triplet import TripletSettings
from models.mixers import MIXERS
from models.network import LKA_HCA, Branch, NetworkConfig, Pooling
from training.datasets.dataset import Dataset, Task
from training.datasets.folds import Part, identity_folds
from training.datasets.image import DatasetError, VehicleImage
from training.datasets.layouts import AUTO, LAYOUT_NAMES, known_layout
from training.datasets.split import split_dataset

Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(gt=0)]


class Section(BaseModel):
    """A part of a configuration: frozen, and a key that is not known is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class BatchConfig(Section):
    """What a step learns from: P vehicles with K images each."""

    vehicles: Annotated[int, Field(gt=1)] = Field(default=6, description="P, different vehicles in a batch")
    images: Annotated[int, Field(gt=1)] = Field(default=8, description="K, images of each vehicle")
    epoch: Literal["images", "vehicles"] = Field(
        default="images", description="an epoch shows every image about once, or every vehicle once"
    )
    by_type: bool = Field(default=False, description="fill a batch with vehicles of one type where possible")


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
    epochs: Count = Field(default=130, description="length of the training")
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

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.warm_up >= self.epochs:
            raise ValueError(f"a warm_up of {self.warm_up:g} leaves nothing of {self.epochs} epochs")
        return self


class EmbedderLossConfig(Section):
    """The losses that are the whole network's and no branch's."""

    descriptor: NotNegative = Field(default=0.0, description="contrastive loss on the descriptor's cosine")
    strips: NotNegative = Field(default=0.0, description="contrastive loss on the strips' mean cosine")
    temperature: Positive = Field(default=0.07, description="of both contrastive losses")


if TYPE_CHECKING:

    class LossConfig(CrossEntropySettings, TripletSettings, EmbedderLossConfig):
        """What a type checker knows of it."""
else:
    # The keys of every registered loss, those of the first one first.
    LossConfig = create_model(
        "LossConfig",
        __base__=(EmbedderLossConfig, *(loss.settings for loss in reversed(LOSSES.values()))),
        __doc__="Weights of the losses; 0 switches one off.",
        __module__=__name__,
    )


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


class InputConfig(Section):
    """How pixels become numbers; the bundle repeats it to the service."""

    mean: tuple[float, float, float] = Field(
        default=(0.5, 0.5, 0.5), description="taken from values in 0..1, RGB"
    )
    std: tuple[Positive, Positive, Positive] = Field(
        default=(0.5, 0.5, 0.5), description="then divided by, RGB"
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
    run: RunConfig = RunConfig()


class DataConfig(Section):
    """What is trained and measured on; the path is given on the command line."""

    layout: Annotated[str, AfterValidator(known_layout)] = Field(
        default=AUTO, description=f"how it lies on disk: {LAYOUT_NAMES}; {AUTO}: recognised by its files"
    )
    validation_vehicles: Annotated[int, Field(ge=0)] = Field(
        default=0, description="vehicles to set aside to measure on where the data has no part for that"
    )
    split_seed: Annotated[int, Field(ge=0)] = Field(default=0, description="which vehicles these are")
    images_per_vehicle: Annotated[int, Field(ge=0)] = Field(
        default=0, description="use at most this many of a vehicle's images, evenly chosen; 0: all"
    )
    measured_per_vehicle: Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="the same for the vehicles set aside to measure on; null: as many as are learned from",
    )

    def split(self, dataset: Dataset) -> tuple[list[VehicleImage], list[Task]]:
        """What to train and what to measure on.

        Raises:
            DatasetError: see `split_dataset`.
        """
        return split_dataset(
            dataset,
            self.validation_vehicles,
            self.split_seed,
            images_per_vehicle=self.images_per_vehicle,
            measured_per_vehicle=self.measured_per_vehicle,
        )

    def parts(self, dataset: Dataset, folds: int) -> list[Part]:
        """The data's own split (folds = 1), or folds of its training vehicles.

        Raises:
            DatasetError: there is no such split, or nothing to measure on.
        """
        if folds > 1:
            return list(identity_folds(dataset.train, folds))
        train, tasks = self.split(dataset)
        if not tasks:
            raise DatasetError(f"{dataset.root}: has nothing to measure on; take --folds 2 or more")
        return [Part(0, train, tasks[0])]


class BranchConfig(Section):
    """One branch."""

    mixer: str = Field(description=f"what mixes its stage 4: {MIXERS.names}")
    loss: str = Field(description=f"what trains it: {LOSSES.names}, several joined by +, or both of these")


class ShapeConfig(Section):
    """The shape of the network (models.network)."""

    branches: tuple[BranchConfig, ...] = Field(
        default=tuple(BranchConfig.model_validate({"mixer": b.mixer, "loss": b.loss}) for b in LKA_HCA),
        min_length=1,
        description="mixer and loss of each branch",
    )
    width: Count = Field(default=64, description="channels of the stem; 64 is ResNet-50")
    depth: tuple[Count, Count, Count, Count] = Field(
        default=(3, 4, 6, 3), description="bottlenecks in each stage"
    )
    image_size: tuple[Count, Count] = Field(
        default=(256, 256), description="height and width, px, multiples of 16"
    )
    ibn: bool = Field(default=True, description="IBN-a norms in stages 1-3")
    v1: bool = Field(
        default=False, description="stride on the first 1x1 convolution of a stage: the v1 layout"
    )
    last_stride: Literal[1, 2] = Field(default=1, description="stride of stage 4; 2 is a plain ResNet-50")
    pooling: Pooling = Field(default="average", description="of a branch's map to one vector")
    strips: Annotated[int, Field(ge=0)] = Field(
        default=0, description="strips a branch, for the re-ranker; 0: none"
    )
    strip_width: Count = Field(default=256, description="features of a strip")
    side_information: Literal["none", "camera", "view", "camera-view"] = Field(
        default="none", description="LAI: a learned vector for each camera, view, or pair of them"
    )

    @model_validator(mode="after")
    def _makes_a_network(self) -> Self:
        self.build()
        return self

    def build(self) -> NetworkConfig:
        """The network's own configuration.

        Raises:
            ValueError: sizes that make no network.
        """
        values = self.model_dump(exclude={"side_information", "branches"})
        branches = tuple(Branch(branch.mixer, branch.loss) for branch in self.branches)
        return NetworkConfig(branches=branches, **values)


class WeightsConfig(Section):
    """What the network starts from; the file is given on the command line."""

    layout: Literal["resnet50", "resnet50-v1", "resnet50-ibn-a"] = Field(
        default="resnet50-ibn-a",
        description="torchvision's, the same with strides on the first 1x1, or IBN-Net's published one",
    )
    sha256: Annotated[str, Field(pattern="^[0-9a-fA-F]{8,64}$")] | None = Field(
        default=None, description="of the file, or its first digits (at least 8); null: not checked"
    )
    left_out: tuple[str, ...] = Field(
        default=("fc.weight", "fc.bias"), description="keys (patterns) of the file that are not wanted"
    )


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
    torch_weights: bool = Field(
        default=False, description="also write float32 weights, which the runtime torch-cuda needs"
    )


class ExperimentConfig(TrainingConfig):
    """One experiment."""

    name: str = Field(default="experiment", min_length=1, description="of the experiment and of its bundle")
    data: DataConfig = DataConfig()
    network: ShapeConfig = ShapeConfig()
    weights: WeightsConfig = WeightsConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    bundle: BundleConfig = BundleConfig()

    @property
    def spec(self) -> InputSpec:
        """What the network wants to see."""
        height, width = self.network.image_size
        return InputSpec(height=height, width=width, mean=self.input.mean, std=self.input.std)

    def settings(self) -> dict[str, Any]:
        """What an embedder depends on, as JSON types; the rest may change while it is trained."""
        return self.model_dump(mode="json", exclude={"name", "run", "evaluation", "bundle"})
