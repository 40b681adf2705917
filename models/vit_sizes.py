"""The sizes of ViT-LKCA and of its plain twin in the paper's tables II to IV."""

from __future__ import annotations

from dataclasses import dataclass, replace

from models.vit import VitAttention, VitConfig


@dataclass(frozen=True)
class VitSize:
    """One pair of twins.

    Attributes:
        lkca: ViT-LKCA.
        mhsa: the plain ViT, with its class token.
        published: parameters that the paper prints, millions, by attention.
        given: whose dimensions are the public code's; all others are our choice, to come to that count.
    """

    lkca: VitConfig
    mhsa: VitConfig
    published: dict[VitAttention, float]
    given: tuple[VitAttention, ...] = ()


def _size(
    lkca: tuple[int, int], mhsa: tuple[int, int, int], *published: float, given: tuple[VitAttention, ...] = ()
) -> VitSize:
    """From (dim, depth) of LKCA and (dim, depth, heads) of the plain ViT."""
    return VitSize(
        VitConfig("lkca", *lkca, heads=1),
        VitConfig("mhsa", *mhsa, class_token=True),
        {"lkca": published[0], "mhsa": published[1]},
        given,
    )


SIZES: dict[str, VitSize] = {
    "0.5M": _size((100, 8), (80, 9, 5), 0.50, 0.48),
    "1M": _size((144, 8), (120, 9, 6), 1.03, 1.06),
    "2M": _size((192, 9), (200, 6, 10), 2.03, 1.96),
    "base": _size((210, 10), (192, 9, 12), 2.69, 2.69, given=("lkca",)),
    "4M": _size((272, 9), (264, 7, 11), 4.05, 3.95),
    "8M": _size((384, 9), (312, 10, 13), 7.98, 7.85),
}


def sized(name: str, attention: VitAttention, *, patch: int = 4, drop_path: float = 0.0) -> VitConfig:
    """One of the twins of a size.

    Args:
        name: of the size, a key of `SIZES`.
        attention: which of the twins.
        patch: side of a patch, px.
        drop_path: see `VitConfig`.

    Raises:
        ValueError: no such size.
    """
    if name not in SIZES:
        raise ValueError(f"unknown size {name!r}; there are {', '.join(SIZES)}")
    size = SIZES[name]
    return replace(size.lkca if attention == "lkca" else size.mhsa, patch=patch, drop_path=drop_path)
