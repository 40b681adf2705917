"""Table II of the paper, computed from the network itself."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from rich import box
from rich.table import Table

from models.network import BASELINE, LKA_HCA, Branch, LKAReID, NetworkConfig, branches, count_parameters
from training.studies.complexity import multiply_accumulates

IDENTITIES = 575
ROWS: dict[str, tuple[Branch, ...]] = {
    "baseline (MBR-4B)": BASELINE,
    "+ LKA": branches("conv", "lka"),
    "+ HCA": branches("hca", "mhsa"),
    "+ LKA + HCA": LKA_HCA,
}


@dataclass(frozen=True)
class Cost:
    """One row: what the network with these branches costs.

    Attributes:
        name: the row's.
        mixers: of the four branches.
        parameters: with the two classifiers of VeRi-776's 575 training vehicles.
        multiply_accumulates: of one image at 256 x 256.
    """

    name: str
    mixers: tuple[str, ...]
    parameters: int
    multiply_accumulates: int


def costs() -> list[Cost]:
    """The four rows of Table II."""
    rows = []
    for name, row in ROWS.items():
        config = NetworkConfig(branches=row)
        with torch.device("meta"):
            parameters = count_parameters(LKAReID(config, IDENTITIES))
        mixers = tuple(branch.mixer for branch in row)
        rows.append(Cost(name, mixers, parameters, multiply_accumulates(config)))
    return rows


def summary_table() -> Table:
    """The rows as a person reads them."""
    table = Table(
        title="LKA-ReID, Table II: what each network costs", title_justify="left", box=box.SIMPLE_HEAD
    )
    table.add_column("network")
    table.add_column("mixers")
    for name in ("parameters", "G MACs"):
        table.add_column(name, justify="right")
    for cost in costs():
        giga = f"{cost.multiply_accumulates / 1e9:.2f}"
        table.add_row(cost.name, ", ".join(cost.mixers), f"{cost.parameters:,}", giga)
    table.caption = (
        f"Parameters with the classifiers of {IDENTITIES} vehicles; multiply-accumulates of one image at "
        "256 x 256. The paper prints 61.44, 61.57, 47.29, 47.42 M and 14.44, 13.89, 14.25, 13.7 G; its "
        "figures for the rows with 3x3 convolutions do not follow from branches of stride 1."
    )
    table.caption_justify = "left"
    return table
