"""Everything that can be set of an image classifier's training; the defaults are the LKCA paper's."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from models.vit import VitAttention, VitConfig
from models.vit_sizes import SIZES, sized
from training.config.embedder import ScheduleConfig
from training.config.section import Count, NotNegative, Positive, Probability, Section


def _known_size(name: str) -> str:
    if name not in SIZES:
        raise ValueError(f"there is no size {name!r}; there are {', '.join(SIZES)}")
    return name


class ClassifierNetworkConfig(Section):
    """The ViT that classifies (models.vit)."""

    attention: VitAttention = Field(default="lkca", description="lkca, or mhsa for the plain ViT")
    size: Annotated[str, AfterValidator(_known_size)] = Field(
        default="base", description=f"of the paper's table: {', '.join(SIZES)}"
    )
    patch: Count = Field(default=4, description="side of a patch, px; the paper's images have 8 x 8 patches")
    drop_path: Probability = Field(default=0.1, description="stochastic depth at the last block")

    def build(self) -> VitConfig:
        """The network's own configuration."""
        return sized(self.size, self.attention, patch=self.patch, drop_path=self.drop_path)


class ClassifierOptimiserConfig(Section):
    """AdamW along a cosine with a linear warm-up."""

    learning_rate: Positive = Field(default=1e-3, description="at the peak")
    weight_decay: NotNegative = Field(default=0.05, description="of all but norms and biases")
    epochs: Count = Field(default=100, description="length of the training")
    warm_up: NotNegative = Field(default=10, description="epochs before the peak; parts of one count")
    final: Probability = Field(default=0.01, description="fraction of the peak that is left at the end")
    clip: Positive | None = Field(default=None, description="largest norm of the gradient; null: no limit")

    @model_validator(mode="after")
    def _makes_a_schedule(self) -> Self:
        self.schedule()
        return self

    def schedule(self) -> ScheduleConfig:
        """As the embedder's schedule is written."""
        return ScheduleConfig(
            name="cosine", epochs=self.epochs, warm_up=self.warm_up, final=self.final, freeze=0
        )


class ClassifierAugmentationConfig(Section):
    """Random changes of a training image; 0 switches a change off."""

    flip: Probability = Field(default=0.5, description="probability of a mirror image")
    pad: Annotated[int, Field(ge=0)] = Field(default=4, description="px around an image that it is cut from")
    policy: Literal["none", "cifar10", "imagenet"] = Field(
        default="cifar10", description="AutoAugment's; the paper takes imagenet for Tiny-ImageNet"
    )
    erase: Probability = Field(default=0.25, description="probability of erasing a rectangle")
    erase_area: Probability = Field(default=0.4, description="largest part of an image that is erased")
    erase_aspect: Positive = Field(default=0.3, description="smallest ratio of its sides")
    mix: Probability = Field(
        default=1.0, description="probability that a batch is mixed, by Mixup or by CutMix, evenly"
    )
    mix_alpha: Positive = Field(default=1.0, description="of the beta distribution of the shares of a mix")
    label_smoothing: Probability = Field(default=0.1, description="of the cross-entropy")


class ClassifierInputConfig(Section):
    """How pixels become numbers."""

    mean: tuple[float, float, float] = Field(
        default=(0.4914, 0.4822, 0.4465), description="taken from values in 0..1, RGB; CIFAR-10's"
    )
    std: tuple[Positive, Positive, Positive] = Field(
        default=(0.2470, 0.2435, 0.2616), description="then divided by, RGB"
    )


class ClassifierRunConfig(Section):
    """How the machine is used; apart from `precision`, no result depends on it."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="auto: cuda where there is one"
    )
    precision: Literal["fp32", "bf16"] = Field(default="fp32", description="of the forward pass (autocast)")
    every: Annotated[int, Field(ge=0)] = Field(
        default=10, description="epochs between two looks at the test images; 0: at the end only"
    )


class ClassifierConfig(Section):
    """One experiment with an image classifier."""

    name: str = Field(default="classifier", min_length=1, description="of the experiment")
    seed: Annotated[int, Field(ge=0)] = Field(default=0, description="of everything that is drawn")
    batch: Annotated[int, Field(gt=1)] = Field(default=128, description="images a step")
    network: ClassifierNetworkConfig = ClassifierNetworkConfig()
    optimiser: ClassifierOptimiserConfig = ClassifierOptimiserConfig()
    augmentation: ClassifierAugmentationConfig = ClassifierAugmentationConfig()
    input: ClassifierInputConfig = ClassifierInputConfig()
    run: ClassifierRunConfig = ClassifierRunConfig()

    def settings(self) -> dict[str, Any]:
        """What the network depends on, as JSON types; the rest may change while it is trained."""
        return self.model_dump(mode="json", exclude={"name", "run"})
