"""Table II of the LKCA paper: its twins, and what each costs, computed from the networks themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from rich import box
from rich.table import Table

from models.network import count_parameters
from models.vit import ATTENTIONS, VitAttention, VitClassifier, VitConfig
from models.vit_sizes import SIZES, sized
from training.studies.complexity import counted

SIDE, CLASSES = 32, 10
NAMES: dict[VitAttention, str] = {"lkca": "ViT-LKCA", "mhsa": "ViT"}


@dataclass(frozen=True)
class VitCost:
    """One row.

    Attributes:
        name: size and attention.
        config: the shape.
        parameters: with the classifier of CIFAR-10's ten classes.
        published: the same as the paper prints it, millions.
        multiply_accumulates: of one image.
        given: whether the dimensions are the public code's, and not ours.
    """

    name: str
    config: VitConfig
    parameters: int
    published: float
    multiply_accumulates: int
    given: bool


def vit_costs() -> list[VitCost]:
    """The twins of every size at 32 px with ten classes."""
    rows = []
    for name, size in SIZES.items():
        for attention in ATTENTIONS:
            config = sized(name, attention)
            with torch.device("meta"):
                network = VitClassifier(config, (SIDE, SIDE), CLASSES)
                rows.append(
                    VitCost(
                        f"{NAMES[attention]} {name}",
                        config,
                        count_parameters(network),
                        size.published[attention],
                        counted(network, (SIDE, SIDE)),
                        attention in size.given,
                    )
                )
    return rows


def vit_table(rows: Sequence[VitCost]) -> Table:
    """The rows for a terminal."""
    table = Table(title="LKCA, Table II: what each ViT costs", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("network", no_wrap=True)
    for name in ("dim", "depth", "heads", "parameters", "paper, M", "M MACs"):
        table.add_column(name, justify="right")
    for row in rows:
        config = row.config
        table.add_row(
            f"{row.name} *" if not row.given else row.name,
            str(config.dim),
            str(config.depth),
            str(config.heads) if config.attention == "mhsa" else "-",
            f"{row.parameters:,}",
            f"{row.published:.2f}",
            f"{row.multiply_accumulates / 1e6:.1f}",
        )
    table.caption = (
        f"{CLASSES} classes, {SIDE} x {SIDE} px, patches of 4 px. * The paper gives no dimensions: these are "
        "chosen here to come to its parameters. It prints 170.81 M for ViT-LKCA and 174.25 M for ViT of the "
        "base size, which is within 0.4 % of ours without the products with attention matrices."
    )
    table.caption_justify = "left"
    return table
