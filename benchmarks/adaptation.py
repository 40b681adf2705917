"""What adapting with and without names is worth: on half of the vehicles, measured on the others.

python -m benchmarks.adaptation --synthetic synthetic-vehicles --two-cameras vehicle-2cam --out OUT

Of *synthetic-vehicles* these are its test bodies before its test cameras, of *vehicle-2cam* the vehicles that
the bundle was not trained on: no weights of the bundle have seen either. Crops to adapt on lose their names,
which answer `lka-reid label` alone. Commands run as a user's; what is finished in --out is not run again.

With --ways tracks a tracker is known as well: the images that one camera took of a vehicle are one track.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import shlex
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

from benchmarks.provenance import in_words, provenance, write_json
from models.bundle import DEFAULT_BUNDLE, Bundle
from models.runtime import Models
from models.terminal import out
from training.commands.progress import bars
from training.datasets.dataset import Task
from training.datasets.image import VehicleImage
from training.datasets.readers.manifest import read_manifest
from training.datasets.synthetic_split import split_synthetic
from training.evaluation.breakdown import over_vehicles
from training.evaluation.cameras import normalisation_of, without_cameras
from training.evaluation.descriptors import describe
from training.evaluation.metrics import of_queries
from training.evaluation.result import RetrievalResult
from training.evaluation.retrieval import retrieve
from training.evaluation.significance import Interval, bootstrap
from training.tuning.self_training import CLUSTERS

METRICS = ("R1", "mAP")
KNOWN = ("vehicle_id", "camera_id", "vehicle_type", "model", "group")
SETS = {"syn": "rendered vehicles", "v2": "real ones"}
WAYS = {"level-2": "level 2", "tracks": "level 2 with tracks", "tune": "tune"}
"""Ways of training, and what their rows are called."""
LEFT_IN, TAKEN_OUT = "cameras left in", "cameras taken out"


@dataclass(frozen=True)
class Row:
    """A bundle on vehicles that nothing was adapted on.

    Attributes:
        name: of the way of adapting.
        figures: metric -> percent, with 95 % over vehicles.
        gain: metric -> points more than before, of the same queries.
    """

    name: str
    figures: dict[str, Interval]
    gain: dict[str, Interval]


@dataclass(frozen=True)
class Grouped:
    """How well the clusters of a training without names are vehicles.

    Attributes:
        name: of the way of adapting.
        clusters: of them.
        pure: clusters of one vehicle alone.
        found: pairs of crops of one vehicle from two cameras that are in one cluster.
        of: such pairs.
        mixed: pairs of crops of two vehicles that are in one cluster.
    """

    name: str
    clusters: int
    pure: int
    found: int
    of: int
    mixed: int

    @classmethod
    def read(cls, name: str, file: Path, crops: Path, truth: Mapping[Path, str]) -> Grouped:
        """From the clusters that `lka-reid adapt` has written, and the vehicle of each crop."""
        labels = json.loads(file.read_text(encoding="utf-8"))["clusters"]
        inside: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for path, label in labels.items():
            crop = (crops / path).resolve()
            inside[label].append((truth[crop], crop.parent.name))
        pairs = [pair for of in inside.values() for pair in combinations(of, 2)]
        everything = [(vehicle, path.parent.name) for path, vehicle in truth.items()]
        return cls(
            name,
            len(inside),
            sum(len({vehicle for vehicle, _ in of}) == 1 for of in inside.values()),
            sum(_across(*pair) for pair in pairs),
            sum(_across(*pair) for pair in combinations(everything, 2)),
            sum(one[0] != other[0] for one, other in pairs),
        )


def _across(one: tuple[str, str], other: tuple[str, str]) -> bool:
    return one[0] == other[0] and one[1] != other[1]


def halves(images: Sequence[VehicleImage]) -> tuple[list[VehicleImage], list[VehicleImage]]:
    """Two halves of the vehicles; those of a group, which are hard to tell apart, stay together."""
    groups = sorted({image.group or image.vehicle_id for image in images})
    random.Random(0).shuffle(groups)  # noqa: S311
    first = set(groups[::2])
    one = [image for image in images if (image.group or image.vehicle_id) in first]
    return one, [image for image in images if (image.group or image.vehicle_id) not in first]


def write_half(folder: Path, images: Sequence[VehicleImage]) -> Path:
    """A folder with copies of images, and a CSV manifest of them."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("path", *KNOWN))
        for number, image in enumerate(images):
            path = Path("images", f"{number:05}{image.path.suffix}")
            shutil.copyfile(image.path, folder / path)
            rows.writerow((path, *(getattr(image, name) for name in KNOWN)))
    return folder / "manifest.csv"


def write_crops(folder: Path, images: Sequence[VehicleImage]) -> dict[Path, str]:
    """Copies in folders of their cameras, under numbers that say nothing; the vehicle of each."""
    numbers = list(range(len(images)))
    random.Random(1).shuffle(numbers)  # noqa: S311
    truth = {}
    for number, image in zip(numbers, images, strict=True):
        path = folder / image.camera_id / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image.path, path)
        truth[path.resolve()] = image.vehicle_id
    return truth


def write_tracks(file: Path, truth: Mapping[Path, str]) -> None:
    """A CSV with the track of each crop, as a tracker knows it: one for each vehicle before a camera."""
    tracks: dict[tuple[str, str], int] = {}
    with file.open("w", newline="", encoding="utf-8") as opened:
        rows = csv.writer(opened)
        rows.writerow(("path", "track"))
        for path, vehicle in sorted(truth.items()):
            number = tracks.setdefault((path.parent.name, vehicle), len(tracks))
            rows.writerow((path.relative_to(file.parent.resolve()), number))


def answer(pairs: Path, truth: Mapping[Path, str]) -> None:
    """Label pairs as a person would who makes no mistake."""
    with pairs.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        one, other = (truth[(pairs.parent / row[name]).resolve()] for name in ("first", "second"))
        row["same"] = "yes" if one == other else "no"
    with pairs.open("w", newline="", encoding="utf-8") as file:
        written = csv.DictWriter(file, ("first", "second", "same"))
        written.writeheader()
        written.writerows(rows)


def run(words: Sequence[str | Path], log: Path) -> None:
    """A command of `lka-reid`, output and seconds in a log; nothing where a whole one is of the same."""
    shown = shlex.join(map(str, words))
    known = log.read_text(encoding="utf-8") if log.exists() else ""
    if known.startswith(f"$ lka-reid {shown}\n") and known.endswith(" seconds\n"):
        return
    out.print(f"$ lka-reid {shown}", markup=False, soft_wrap=True)
    begun = time.monotonic()
    with log.open("w", encoding="utf-8") as file:
        file.write(f"$ lka-reid {shown}\n")
        file.flush()
        command = [sys.executable, "-c", "from service.cli import main; main()", *map(str, words)]
        subprocess.run(command, check=True, stdout=file, stderr=subprocess.STDOUT)
        file.write(f"{time.monotonic() - begun:.0f} seconds\n")


def measured(bundle: Path, task: Task, runtime: str) -> dict[str, RetrievalResult]:
    """A task searched by a bundle's first stage, cameras left in, and taken out as a gallery does."""
    models = Models.load(Bundle.load(bundle), runtime)
    images = task.images()
    with bars() as progress:
        found = describe(models.embedder, images, report=progress.start(f"Embedding, {bundle}", len(images)))
    sides = found.side(task.queries), found.side(task.gallery or [])
    change = normalisation_of(found.descriptors, [image.camera_id for image in found.images], always=True)
    without = (without_cameras(side, found.images, change) for side in sides)
    return {LEFT_IN: retrieve(*sides), TAKEN_OUT: retrieve(*without)}


def row(name: str, found: RetrievalResult, before: RetrievalResult) -> Row:
    """The figures of a way of adapting beside those of before."""
    gains = {}
    for metric in METRICS:
        change = of_queries(found, metric) - of_queries(before, metric)
        gain = bootstrap(change, before.answerable().vehicles)
        gains[metric] = Interval(100 * gain.mean, 100 * gain.low, 100 * gain.high)
    return Row(name, {metric: over_vehicles(found, metric) for metric in METRICS}, gains)


def compared(
    name: str,
    images: Sequence[VehicleImage],
    folder: Path,
    runtime: str,
    ways: Sequence[str],
    changes: Sequence[str],
) -> tuple[list[Row], list[Grouped]]:
    """Adapt on half of a set's vehicles in each way, and measure on the others.

    Args:
        name: of the set.
        images: of it that the bundle was not trained on.
        folder: gets the runs.
        runtime: see `Models.load`.
        ways: of `WAYS`.
        changes: `key=value` each, of every training's configuration.
    """
    learned, others = halves(images)
    manifest = write_half(folder / f"{name}-a", learned)
    crops, pairs = folder / f"crops-{name}-a", folder / f"{name}-a-pairs.csv"
    truth = write_crops(crops, learned)
    if not pairs.exists():
        run(("label", crops, "--out", pairs), folder / f"{name}-label.log")
        answer(pairs, truth)
    tracks = folder / f"{name}-a-tracks.csv"
    write_tracks(tracks, truth)
    level_2 = ("adapt", crops, "--level", "2", "--pairs", pairs)
    made = {
        "level-2": (level_2, "trained"),
        "tracks": ((*level_2, "--tracks", tracks), "trained"),
        "tune": (("tune", manifest.parent), "bundle"),
    }
    task = Task(name, others, others)
    shipped = measured(DEFAULT_BUNDLE, task, runtime)
    before = shipped[LEFT_IN]
    groups: list[Grouped] = []
    rows = [row("before", before, before), row(f"level 1: {TAKEN_OUT}", shipped[TAKEN_OUT], before)]
    for way in ways:
        words, bundle = made[way]
        of_way = folder / f"out-{name}-{way}"
        options = [word for change in changes for word in ("--set", change)]
        run((*words, "--out", of_way, *options), folder / f"{name}-{way}.log")
        if (of_way / CLUSTERS).exists():
            groups.append(Grouped.read(WAYS[way], of_way / CLUSTERS, crops, truth))
        after = measured(of_way / bundle, task, runtime)
        rows += [row(f"{WAYS[way]}, {cameras}", found, before) for cameras, found in after.items()]
    return rows, groups


def main() -> None:
    """Adapt, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--synthetic", type=Path, required=True, help="the data set synthetic-vehicles")
    parser.add_argument("--two-cameras", type=Path, required=True, help="the data set vehicle-2cam")
    parser.add_argument("--out", type=Path, required=True, help="gets the runs and figures.json")
    parser.add_argument("--runtime", default="auto", help="as `lka-reid evaluate` takes it")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="default: both")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="default: all")
    parser.add_argument(
        "--set", dest="changes", action="append", default=[], metavar="KEY=VALUE", help="of every training"
    )
    arguments = parser.parse_args()
    training = Bundle.load(DEFAULT_BUNDLE).manifest.training
    held_out = set(training.held_out_vehicles) if training is not None else set()
    real = [i for i in read_manifest(arguments.two_cameras / "manifest.csv") if i.vehicle_id in held_out]
    rendered = split_synthetic(read_manifest(arguments.synthetic / "manifest.csv")).task.gallery or []
    of_set = {"syn": rendered, "v2": real}
    found = {
        name: compared(
            name, of_set[name], arguments.out, arguments.runtime, arguments.ways, arguments.changes
        )
        for name in arguments.sets
    }
    figures = {name: [asdict(each) for each in rows] for name, (rows, _) in found.items()}
    clusters = {name: [asdict(each) for each in groups] for name, (_, groups) in found.items()}
    origin = provenance(["torch", "openvino", "onnxruntime", "scikit-learn"])
    write_json(arguments.out / "figures.json", {**figures, "clusters": clusters, **origin})
    for name, rows in figures.items():
        out.print(f"\n{name}: R1, mAP; points more than before")
        for each in rows:
            cells = [
                f"{kind[m]['mean']:{sign}.1f} [{kind[m]['low']:{sign}.1f}, {kind[m]['high']:{sign}.1f}]"
                for m in METRICS
                for kind, sign in ((each["figures"], ""), (each["gain"], "+"))
            ]
            out.print(f"| {each['name']} | {' | '.join(cells)} |", markup=False, soft_wrap=True)
        for each in clusters[name]:
            out.print(
                f"{each['name']}: {each['clusters']:,} clusters, {each['pure']:,} of one vehicle; "
                f"{each['found']:,} of {each['of']:,} pairs of one vehicle before two cameras are in one, "
                f"and {each['mixed']:,} of two vehicles",
                markup=False,
                soft_wrap=True,
            )
    out.print(in_words(origin), markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
