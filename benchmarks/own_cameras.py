"""The whole way of docs/own-cameras.md on 60 rendered vehicles in three layouts, as a transcript with times.

python -m benchmarks.own_cameras --synthetic synthetic-vehicles --out docs/transcripts/own-cameras.txt

The vehicles are test bodies of *synthetic-vehicles* before its test cameras, which no shipped weights have
seen. Trainings are shortened by --set and --reranker-set, which the transcript shows; --whole leaves them
whole. Pairs that `lka-reid label` asks for are answered by the vehicles' names.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.adaptation import answer, write_crops, write_half
from benchmarks.provenance import in_words, provenance
from training.datasets.image import VehicleImage
from training.datasets.readers.manifest import read_manifest
from training.datasets.synthetic_split import split_synthetic

VEHICLES = 60
WIDTH = 100
ROOT = Path(__file__).parents[1]
SHORT = "--set schedule.epochs=2 --set projection.images=100"
SECOND = "--reranker-set training.steps=50 --reranker-set lists.images=100"
BY_VEHICLE = (
    "data check vehicles/",
    "evaluate --data vehicles/ --way plain --way reranked --sheet worst.png",
    "tune vehicles/ --out runs/own {short} {second}",
    "calibrate --data vehicles/ --bundle runs/own/bundle --false-alarms 0.1 --gallery 100 --plot plot.png",
)
BY_TABLE = (
    "data check table/manifest.csv",
    "tune table/manifest.csv --plan",
)
BY_CAMERA = (
    "adapt cameras/ --out runs/adapted",
    "label cameras/ --out pairs.csv",
    "adapt cameras/ --level 2 --pairs pairs.csv --out runs/learned {short}",
)

LAYOUTS = {
    "vehicles": ("a folder for each vehicle: vehicles/s00012/c01_0001.jpg", BY_VEHICLE),
    "table": ("a CSV manifest", BY_TABLE),
    "cameras": ("a folder for each camera, vehicles unnamed: cameras/c01/00001.jpg", BY_CAMERA),
}


@dataclass
class Transcript:
    """Commands with what they print and how long they take.

    Attributes:
        folder: that they run in.
        file: written anew after each command, so that one that is stopped leaves what was done.
        lines: so far.
    """

    folder: Path
    file: Path
    lines: list[str]

    def run(self, words: str) -> None:
        """One command of `lka-reid`.

        Raises:
            SystemExit: it fails.
        """
        begun = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", "from service.cli import main; main()", *shlex.split(words)],
            cwd=self.folder,
            env={**os.environ, "COLUMNS": str(WIDTH), "NO_COLOR": "1", "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        seconds = time.monotonic() - begun
        self.lines += [f"$ lka-reid {words}", *map(str.rstrip, done.stdout.rstrip().splitlines())]
        self.lines += [f"# {seconds:.0f} s", ""]
        self.file.write_text(self.text(), encoding="utf-8")
        if done.returncode:
            raise SystemExit(f"{words}: ended with {done.returncode}, see {self.file}")

    def say(self, heading: str) -> None:
        """A line of its own."""
        self.lines += [f"# {heading}", ""]

    def text(self) -> str:
        """All of it.

        Raises:
            SystemExit: a path of this machine is in it.
        """
        found = "\n".join(self.lines) + "\n"
        for path in (self.folder.resolve(), ROOT, Path.home()):
            if str(path) in found:
                raise SystemExit(f"{path} stands in the transcript:\n{found}")
        return found


def chosen(images: Sequence[VehicleImage]) -> list[VehicleImage]:
    """The images of the first vehicles that two cameras saw."""
    cameras: dict[str, set[str]] = defaultdict(set)
    for image in images:
        cameras[image.vehicle_id].add(image.camera_id)
    wanted = set([name for name in sorted(cameras) if len(cameras[name]) > 1][:VEHICLES])
    return [image for image in images if image.vehicle_id in wanted]


def write_vehicles(folder: Path, images: Sequence[VehicleImage]) -> None:
    """A folder for each vehicle; the camera stands before the first `_` of a file's name."""
    for number, image in enumerate(images):
        path = folder / image.vehicle_id / f"{image.camera_id}_{number:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image.path, path)


def main() -> None:
    """Run everything and write the transcript."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--synthetic", type=Path, required=True, help="the data set synthetic-vehicles")
    parser.add_argument("--out", type=Path, required=True, help="the transcript to write")
    parser.add_argument("--folder", type=Path, help="keep the runs there, and go on with what is there")
    parser.add_argument(
        "--layouts", nargs="+", choices=LAYOUTS, default=list(LAYOUTS), help="which to go through"
    )
    parser.add_argument(
        "--commands", nargs="+", metavar="NAME", help="which to run; all where it is left out"
    )
    parser.add_argument("--untrained", action="store_true", help="leave out what trains, and what follows it")
    parser.add_argument("--whole", action="store_true", help="trainings as long as they are by default")
    arguments = parser.parse_args()
    everything = split_synthetic(read_manifest(arguments.synthetic / "manifest.csv")).task.gallery or []
    images = chosen(everything)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.folder or Path(name)
        write_vehicles(folder / "vehicles", images)
        write_half(folder / "table", images)
        truth = write_crops(folder / "cameras", images)
        made = Transcript(folder, arguments.out, [])
        made.say(f"{len({i.vehicle_id for i in images})} rendered vehicles, {len(images)} images; seed 0")
        made.say(in_words(provenance(["torch", "openvino", "onnxruntime", "scikit-learn"])))
        if (folder / "runs").exists():
            made.say("trainings go on from where an earlier call was stopped; times are of what was left")
        short = {"short": "" if arguments.whole else SHORT, "second": "" if arguments.whole else SECOND}
        for heading, commands in (LAYOUTS[layout] for layout in arguments.layouts):
            made.say(heading)
            for command in commands:
                if arguments.commands and command.split()[0] not in arguments.commands:
                    continue
                if arguments.untrained and any(word in command for word in ("{short}", "runs/own")):
                    made.say(f"left out: lka-reid {command.format(short='', second='').strip()}")
                    continue
                made.run(command.format(**short).strip())
                if command.startswith("label"):
                    answer(folder / "pairs.csv", truth)
                    made.say("the pairs are answered by the vehicles' names")


if __name__ == "__main__":
    main()
