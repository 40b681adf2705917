"""Small data sets in the layouts of the public ones, made of the demo's images."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path

IMAGES = Path(__file__).parents[3] / "service" / "demo" / "images"
VERI_LABELS = """<?xml version="1.0" encoding="gb2312"?>
<TrainingImages Version="1.0">
  <!-- 训练集 -->
  <Items number="{count}">
{items}
  </Items>
</TrainingImages>
"""


def demo_images(count: int) -> list[tuple[Path, Path]]:
    """Images of so many vehicles, each from two cameras."""
    first = sorted(IMAGES.glob("*_cam1.jpg"))[:count]
    return [(path, path.with_name(path.name.replace("cam1", "cam2"))) for path in first]


def copy(source: Path, target: Path, salt: bytes = b"") -> None:
    """Copy an image; what is added behind its end makes it another file with the same look."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes() + salt)


def write_lines(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def veri776(root: Path, train: int = 4, test: int = 3, repeats: int = 2) -> Path:
    """VeRi-776: each vehicle before c001 and c002, `repeats` times; queries are copies of gallery images."""
    names: dict[str, list[str]] = {"train": [], "query": [], "test": []}
    views = {"train": [], "test": []}  # type: dict[str, list[str]]
    for number, pair in enumerate(demo_images(train + test), start=1):
        part = "train" if number <= train else "test"
        for camera, source in enumerate(pair, start=1):
            for repeat in range(repeats):
                name = f"{number:04}_c{camera:03}_{100 * number + repeat:08}_{repeat}.jpg"
                copy(source, root / f"image_{part}" / name, salt=bytes([repeat]))
                names[part].append(name)
                points = " ".join(["-1"] * 40)
                views[part].append(f"VeRi/image_{part}/{name} {points} {(camera - 1) * 3}")
            if part == "test":
                query = names[part][-repeats]
                copy(root / "image_test" / query, root / "image_query" / query)
                names["query"].append(query)
    for part, listed in names.items():
        write_lines(root / f"name_{part}.txt", listed)
    for part, lines in views.items():
        write_lines(root / f"keypoint_{part}.txt", lines)
    items = [
        f'    <Item imageName="{name}" vehicleID="{name[:4]}" cameraID="{name[5:9]}" colorID="7" typeID="2"/>'
        for name in names["train"]
    ]
    text = VERI_LABELS.format(count=len(items), items="\n".join(items))
    (root / "train_label.xml").write_bytes(text.encode("gb2312"))
    write_lines(
        root / "test_track.txt", [" ".join(names["test"][:repeats]), " ".join(names["test"][repeats:])]
    )
    return root


def vehicleid(root: Path, train: int = 3, test: int = 4) -> Path:
    """VehicleID: two images a vehicle; the test lists of all three sizes hold the same vehicles."""
    lists: dict[str, list[str]] = {"train": [], "test": []}
    count = 0
    for vehicle, pair in enumerate(demo_images(train + test), start=1):
        for source in pair:
            count += 1
            copy(source, root / "image" / f"{count:07}.jpg")
            lists["train" if vehicle <= train else "test"].append(f"{count:07} {vehicle}")
    write_lines(root / "train_test_split" / "train_list.txt", lists["train"])
    for size in (800, 1600, 2400):
        write_lines(root / "train_test_split" / f"test_list_{size}.txt", lists["test"])
    write_lines(root / "attribute" / "color_attr.txt", ["1 3"])
    write_lines(root / "attribute" / "model_attr.txt", ["1 17", "2 4"])
    return root


def veriwild(root: Path, train: int = 3, test: int = 4, *, with_id: bool = True) -> Path:
    """VERI-Wild: the first camera queries the second; all three sizes are the same vehicles."""
    info = ["id/image;Camera ID;Time;Model;Type;Color"]
    lists: dict[str, list[str]] = {"train": [], "query": [], "gallery": []}
    count = 0
    for vehicle, pair in enumerate(demo_images(train + test), start=1):
        for camera, source in enumerate(pair):
            count += 1
            key = f"{vehicle:05}/{count:06}"
            copy(source, root / "images" / f"{key}.jpg")
            info.append(f"{key};{camera + 20};2018-03-11 08:01:{count:02};Audi A6;SUV;White")
            part = "train" if vehicle <= train else ("query", "gallery")[camera]
            lists[part].append(f"{key}.jpg {vehicle} {camera + 20}" if with_id else key)
    split = root / "train_test_split"
    write_lines(split / "vehicle_info.txt", info)
    write_lines(split / ("train_list_start0.txt" if with_id else "train_list.txt"), lists["train"])
    infix = "_id" if with_id else ""
    for size in (3000, 5000, 10000):
        write_lines(split / f"test_{size}{infix}_query.txt", lists["query"])
        write_lines(split / f"test_{size}{infix}.txt", lists["gallery"])
    return root


def manifest(root: Path, vehicles: int = 4, *, role: bool = False) -> Path:
    """A CSV manifest; with roles, the first camera queries the second."""
    root.mkdir(parents=True, exist_ok=True)
    path = root / "manifest.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(["path", "vehicle_id", "camera_id", "colour", "time", *(["role"] if role else [])])
        for number, pair in enumerate(demo_images(vehicles)):
            for camera, source in enumerate(pair, start=1):
                copy(source, root / source.name)
                tail = [("probe", "gallery")[camera - 1]] if role else []
                lines.writerow([source.name, f"v{number}", f"cam{camera}", "red", "noon", *tail])
    return path


def folder(root: Path, vehicles: int = 3) -> Path:
    """A folder a vehicle: cameras by prefix, by folder, and unknown."""
    for number, (first, second) in enumerate(demo_images(vehicles)):
        copy(first, root / f"v{number}" / "east_1.jpg")
        copy(second, root / f"v{number}" / "west" / "1.jpg")
    return root


def forget(path: Path) -> None:
    """Remove a file or a folder."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
