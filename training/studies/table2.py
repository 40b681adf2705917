"""Table II of the paper: its rows, and what each network costs, computed from the network itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from rich import box
from rich.table import Table

from models.network import LKAReID, count_parameters
from models.shape import BASELINE, LKA_HCA, Branch, NetworkConfig, branches
from training.studies.complexity import multiply_accumulates

# Of VeRi-776, as in the paper's table: the two classifiers count too.
IDENTITIES = 575
ROWS: dict[str, tuple[Branch, ...]] = {
    "baseline": BASELINE,
    "lka": branches("conv", "lka"),
    "hca": branches("hca", "mhsa"),
    "both": LKA_HCA,
}
TITLES = {"baseline": "baseline (MBR-4B)", "lka": "+ LKA", "hca": "+ HCA", "both": "+ LKA + HCA"}


@dataclass(frozen=True)
class Cost:
    """One row: what the network with these branches costs.

    Attributes:
        name: the row's title.
        mixers: of the four branches.
        parameters: with the two classifiers of VeRi-776's 575 training vehicles.
        multiply_accumulates: of one image.
    """

    name: str
    mixers: tuple[str, ...]
    parameters: int
    multiply_accumulates: int


def cost(row: str, shape: NetworkConfig) -> Cost:
    """What the network of a row costs.

    Args:
        row: a key of `ROWS`.
        shape: of the network, apart from its branches.
    """
    config = replace(shape, branches=ROWS[row])
    with torch.device("meta"):
        parameters = count_parameters(LKAReID(config, IDENTITIES))
    mixers = tuple(branch.mixer for branch in ROWS[row])
    return Cost(TITLES[row], mixers, parameters, multiply_accumulates(config))


def costs() -> list[Cost]:
    """The four rows of Table II at full size."""
    return [cost(row, NetworkConfig()) for row in ROWS]


def summary_table(rows: Sequence[Cost]) -> Table:
    """The rows for a terminal."""
    table = Table(
        title="LKA-ReID, Table II: what each network costs", title_justify="left", box=box.SIMPLE_HEAD
    )
    table.add_column("network")
    table.add_column("mixers")
    for name in ("parameters", "G MACs"):
        table.add_column(name, justify="right")
    for row in rows:
        giga = f"{row.multiply_accumulates / 1e9:.2f}"
        table.add_row(row.name, ", ".join(row.mixers), f"{row.parameters:,}", giga)
    table.caption = (
        f"Parameters with the classifiers of {IDENTITIES} vehicles; multiply-accumulates of one image at "
        "256 x 256. The paper prints 61.44, 61.57, 47.29, 47.42 M and 14.44, 13.89, 14.25, 13.7 G; its "
        "figures for the rows with 3x3 convolutions do not follow from branches of stride 1."
    )
    table.caption_justify = "left"
    return table
