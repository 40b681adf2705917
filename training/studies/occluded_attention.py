"""Where branches look on vehicles that are partly hidden, by embedders that were trained differently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from models.decoding import decode
from models.inputspec import InputSpec
from models.network import LKAReID
from training.checkpoints.weights import WeightsError, load_embedder
from training.datasets.image import VehicleImage
from training.evaluation.looks import Floats, Looks, NoAttentionError, looks, share_within
from training.evaluation.protocol import Progress
from training.evaluation.shift.degradations import OCCLUSIONS, degraded, hidden_box
from training.reporting.attention_figure import Line
from training.reporting.shift_tables import FigureTable, spread

What = Literal["attention", "activation"]
TITLES: dict[What, str] = {
    "attention": "attention of the branch's last mixer",
    "activation": "the branch's last map, as it is pooled",
}


@dataclass(frozen=True)
class Outcome:
    """How much of what one branch of one embedder looks at is what hides the vehicle; means over the images.

    Attributes:
        embedders: what they have in common.
        file: of the embedder, with its folder.
        branch: its number and mixer.
        what: is measured.
        occlusion: a key of `OCCLUSIONS`.
        hidden: share of the maps on what hides the vehicle.
        before: share of the same images' maps on the same place while nothing hides it.
        even: share of the place itself, which an even map would have on it.
    """

    embedders: str
    file: str
    branch: str
    what: What
    occlusion: str
    hidden: float
    before: float
    even: float

    def as_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        return asdict(self)


UNCOVERED = "uncovered"


def measure(
    embedders: Mapping[str, Sequence[Path]],
    spec: InputSpec,
    images: Sequence[VehicleImage],
    progress: Progress,
) -> list[Outcome]:
    """How much each branch looks at what hides a vehicle.

    Args:
        embedders: files by what they have in common; several are seeds.
        spec: what they want to see.
        images: of vehicles that none of them has learned from.
        progress: receives how far the work is.

    Raises:
        WeightsError: a file holds no embedder, or one whose branches have no attention or other mixers than
            the first one's.
        DatasetError: an image cannot be read.
    """
    outcomes = []
    boxes = {kind: np.array([hidden_box(kind, image.path.name) for image in images]) for kind in OCCLUSIONS}
    total = sum(len(files) for files in embedders.values())
    report = progress.start("Looking at occluded vehicles", total)
    for number, (name, file, network) in enumerate(_loaded(embedders)):
        place = f"{file.parent.name}/{file.name}"
        before = _looks(network, spec, images, file)
        for kind in OCCLUSIONS:
            hidden = _looks(network, spec, images, file, kind)
            outcomes += _compared(name, place, branch_names(network), kind, before, hidden, boxes[kind])
        report(number + 1)
    return outcomes


def lines(embedders: Mapping[str, Sequence[Path]], spec: InputSpec, image: VehicleImage) -> list[Line]:
    """One image, uncovered and partly hidden, and where the branches of the first embedder of each kind look.

    Args:
        embedders: see `measure`.
        spec: what they want to see.
        image: of a vehicle that none of them has learned from.
    """
    kinds = (UNCOVERED, *OCCLUSIONS)
    firsts = list(_loaded({name: files[:1] for name, files in embedders.items()}))
    maps: dict[str, dict[str, Floats]] = {}
    for kind in kinds:
        change = None if kind == UNCOVERED else kind
        found = [_looks(network, spec, [image], file, change).attention[0] for _, file, network in firsts]
        maps[kind] = {
            f"branch {branch},\n{name}": of_one[number]
            for number, branch in enumerate(branch_names(firsts[0][2]))
            for (name, _, _), of_one in zip(firsts, found, strict=True)
        }
    whole = decode(image.path.read_bytes())
    name = image.path.name
    shown = {UNCOVERED: whole} | {kind: degraded(whole, kind, name) for kind in OCCLUSIONS}
    boxes = {kind: hidden_box(kind, name) for kind in OCCLUSIONS}
    return [Line(kind, shown[kind], boxes.get(kind), maps[kind]) for kind in kinds]


def branch_names(network: LKAReID) -> tuple[str, ...]:
    """Number and mixer of each branch."""
    return tuple(f"{number + 1} {branch.mixer}" for number, branch in enumerate(network.config.branches))


def _loaded(embedders: Mapping[str, Sequence[Path]]) -> Iterator[tuple[str, Path, LKAReID]]:
    first: tuple[str, ...] | None = None
    for name, files in embedders.items():
        for file in files:
            network = load_embedder(file)
            first = first or branch_names(network)
            if branch_names(network) != first:
                found, wanted = (", ".join(names) for names in (branch_names(network), first))
                raise WeightsError(f"{file}: has the branches {found}, and the first embedder {wanted}")
            yield name, file, network


def _looks(
    network: LKAReID, spec: InputSpec, images: Sequence[VehicleImage], file: Path, kind: str | None = None
) -> Looks:
    try:
        return looks(network, spec, images, None if kind is None else partial(_change, kind))
    except NoAttentionError as error:
        raise WeightsError(f"{file}: {error}") from None


def _change(kind: str, image: Image.Image, name: str) -> Image.Image:
    return degraded(image, kind, name)


def _compared(
    name: str,
    file: str,
    branches: tuple[str, ...],
    kind: str,
    before: Looks,
    hidden: Looks,
    boxes: Floats,
) -> list[Outcome]:
    even = float(((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).mean())
    outcomes = []
    for what in TITLES:
        shares = [share_within(getattr(each, what), boxes).mean(axis=0) for each in (hidden, before)]
        outcomes += [
            Outcome(name, file, branch, what, kind, float(on_hidden), float(on_before), even)
            for branch, on_hidden, on_before in zip(branches, *shares, strict=True)
        ]
    return outcomes


def tables(outcomes: Sequence[Outcome]) -> list[FigureTable]:
    """By branch and kind of embedder: the share on what hides the vehicle, and on the same place before."""
    kinds = list(dict.fromkeys(each.occlusion for each in outcomes))
    rows = list(dict.fromkeys((each.branch, each.embedders) for each in outcomes))
    even = {each.occlusion: each.even for each in outcomes}
    head = ("branch", *kinds)
    found = []
    for what, title in TITLES.items():

        def cell(row: tuple[str, str], kind: str, what: What = what) -> str:
            own = [o for o in outcomes if (o.branch, o.embedders, o.occlusion, o.what) == (*row, kind, what)]
            return f"{spread([100 * o.hidden for o in own])} ({spread([100 * o.before for o in own])})"

        lines = [(f"{row[0]}, {row[1]}", *(cell(row, kind) for kind in kinds)) for row in rows]
        lines.append(("an even map", *(f"{100 * even[kind]:.1f}" for kind in kinds)))
        found.append(
            FigureTable(
                f"{title}: percent of it on what hides the vehicle (on the same place, uncovered)",
                head,
                tuple(lines),
            )
        )
    return found
