"""What others do after the first stage: re-rankers of the literature that need descriptors alone."""

from training.studies.baselines.baseline import Baseline
from training.studies.baselines.collection import Collection
from training.studies.baselines.expansion import AlphaExpansion
from training.studies.baselines.kreciprocal import KReciprocal
from training.studies.baselines.propagation import GraphPropagation
from training.studies.baselines.superglobal import SuperGlobal

BASELINES: tuple[Baseline, ...] = (
    AlphaExpansion(),
    SuperGlobal(),
    KReciprocal(),
    GraphPropagation(),
    KReciprocal(transductive=True),
    GraphPropagation(transductive=True),
)

__all__ = [
    "BASELINES",
    "AlphaExpansion",
    "Baseline",
    "Collection",
    "GraphPropagation",
    "KReciprocal",
    "SuperGlobal",
]
