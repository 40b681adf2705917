"""How long `lka-reid tune` takes at the size that is served, on 200 vehicles of four images each.

python -m benchmarks.tuning --synthetic synthetic-vehicles --out runs/tuning

The vehicles are test bodies of *synthetic-vehicles*, which no shipped weights have seen, before all of its
cameras. --out gets the images, what `tune` leaves and the transcript; what is finished is not done again.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Sequence
from itertools import chain, zip_longest
from pathlib import Path

from benchmarks.adaptation import write_half
from benchmarks.own_cameras import Transcript
from benchmarks.provenance import in_words, provenance
from models.bundle import DEFAULT_BUNDLE, Bundle
from training.datasets.image import VehicleImage
from training.datasets.readers.manifest import read_manifest
from training.datasets.synthetic_split import is_test_design

VEHICLES, IMAGES = 200, 4


def chosen(images: Sequence[VehicleImage]) -> list[VehicleImage]:
    """So many images of each of so many vehicles that two cameras saw, from its cameras in turn; seed 0."""
    of: dict[str, dict[str, list[VehicleImage]]] = defaultdict(lambda: defaultdict(list))
    for image in images:
        of[image.vehicle_id][image.camera_id].append(image)
    able = [v for v in sorted(of) if len(of[v]) > 1 and sum(map(len, of[v].values())) >= IMAGES]
    random.Random(0).shuffle(able)  # noqa: S311
    found = []
    for vehicle in sorted(able[:VEHICLES]):
        cameras = sorted(of[vehicle].items(), key=lambda each: (-len(each[1]), each[0]))
        turns = chain.from_iterable(zip_longest(*(each for _, each in cameras)))
        found += [image for image in turns if image is not None][:IMAGES]
    return found


def main() -> None:
    """Write the images, tune, and write the transcript."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--synthetic", type=Path, required=True, help="the data set synthetic-vehicles")
    parser.add_argument("--out", type=Path, required=True, help="folder of everything")
    arguments = parser.parse_args()
    folder = arguments.out
    everything = read_manifest(arguments.synthetic / "manifest.csv")
    images = chosen([image for image in everything if is_test_design(image.model)])
    if not (folder / "vehicles").exists():
        write_half(folder / "vehicles", images)
    size = Bundle.load(DEFAULT_BUNDLE).manifest.input
    made = Transcript(folder, folder / "transcript.txt", [])
    made.say(f"{len({i.vehicle_id for i in images})} rendered vehicles, {len(images)} images; seed 0")
    made.say(in_words(provenance(["torch", "openvino", "onnxruntime"])))
    made.run(
        f"tune vehicles/ --out tuned --set network.image_size=[{size.height},{size.width}] --runtime cpu"
    )
    print(made.text())


if __name__ == "__main__":
    main()
