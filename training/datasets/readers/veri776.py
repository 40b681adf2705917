"""VeRi-776 (Liu et al., ECCV 2016), as its authors hand it out.

image_train/ image_query/ image_test/             0002_c002_00030600_0.jpg: vehicle, camera, frame, number
name_train.txt name_query.txt name_test.txt       a file name a line
train_label.xml test_label.xml                    colour and type (GB2312); may be missing
test_track.txt                                    the images of a track a line; may be missing
keypoint_train.txt keypoint_test.txt              path, 20 points, orientation (Wang et al., ICCV 2017);
                                                  may be missing
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from training.datasets.dataset import Dataset, Task
from training.datasets.files import require, rows
from training.datasets.image import DatasetError, VehicleImage
from training.datasets.readers import LAYOUTS, Layout

LAYOUT = "veri776"
PARTS = {"train": "image_train", "query": "image_query", "test": "image_test"}
REQUIRED = [name for part, folder in PARTS.items() for name in (f"{folder}/", f"name_{part}.txt")]
NAME = re.compile(r"(?P<vehicle>\d+)_(?P<camera>c\d+)_(?P<frame>\d+)_\w+\.jpg")
COLOURS = ("yellow", "orange", "green", "gray", "red", "blue", "white", "golden", "brown", "black")
TYPES = ("sedan", "suv", "van", "hatchback", "mpv", "pickup", "bus", "truck", "estate")
VIEWS = ("front", "rear", "left", "left front", "left rear", "right", "right front", "right rear")


def is_veri776(root: Path) -> bool:
    """Whether a folder looks like VeRi-776, complete or not."""
    return (root / "image_train").is_dir() or (root / "name_train.txt").is_file()


def read(root: Path) -> Dataset:
    """VeRi-776; images are not looked at.

    Raises:
        DatasetError: required files are missing, or a list or label file does not read.
    """
    require(root, "VeRi-776", REQUIRED)
    notes: list[str] = []
    colours: dict[str, str] = {}
    types: dict[str, str] = {}
    for name in ("train_label.xml", "test_label.xml"):
        if (root / name).is_file():
            _read_labels(root / name, colours, types)
        else:
            notes.append(f"colours and types of its images are unknown: no {name}")
    views: dict[str, str] = {}
    for name in ("keypoint_train.txt", "keypoint_test.txt"):
        if (root / name).is_file():
            views |= _read_views(root / name)
        else:
            notes.append(f"views of its images are unknown: no {name}")
    tracks = _read_tracks(root / "test_track.txt")

    def images(part: str) -> list[VehicleImage]:
        found = []
        for number, line, origin in rows(root / f"name_{part}.txt"):
            match = NAME.fullmatch(line)
            if match is None:
                raise DatasetError(
                    f"{root / f'name_{part}.txt'}, line {number}: {line!r} is not named like "
                    "0002_c002_00030600_0.jpg"
                )
            found.append(
                VehicleImage(
                    path=root / PARTS[part] / line,
                    vehicle_id=match["vehicle"],
                    camera_id=match["camera"],
                    vehicle_type=types.get(line, ""),
                    view=views.get(line, ""),
                    colour=colours.get(line, ""),
                    time=match["frame"],
                    track=tracks.get(line, ""),
                    origin=origin,
                )
            )
        return found

    task = Task("test", images("query"), images("test"))
    return Dataset(LAYOUT, root, images("train"), [task], notes=tuple(notes))


def _read_labels(path: Path, colours: dict[str, str], types: dict[str, str]) -> None:
    """Colour and type of each image; the files say GB2312, which expat does not read by itself."""
    data = path.read_bytes()
    declared = re.match(rb"\s*<\?xml[^>]*encoding=[\"']([\w-]+)[\"'][^>]*\?>", data)
    encoding = declared[1].decode().lower() if declared else "utf-8"
    try:
        # GB18030 holds GB2312 and what is added to it in practice.
        text = data.decode("gb18030" if encoding in ("gb2312", "gbk") else encoding)
        items = ElementTree.fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text))  # noqa: S314 - expat bounds entities
    except (LookupError, UnicodeDecodeError, ElementTree.ParseError) as error:
        raise DatasetError(f"{path}: is no XML that can be read: {error}") from None
    for item in items.iter("Item"):
        name = item.get("imageName", "")
        colours[name] = _named(COLOURS, item.get("colorID", ""), 1)
        types[name] = _named(TYPES, item.get("typeID", ""), 1)


def _read_views(path: Path) -> dict[str, str]:
    """The orientation at the end of each keypoint line."""
    views = {}
    for number, line, _ in rows(path):
        fields = line.split()
        if len(fields) < 2 or not fields[-1].lstrip("-").isdigit():
            raise DatasetError(f"{path}, line {number}: does not end in an orientation")
        views[PurePosixPath(fields[0]).name] = _named(VIEWS, fields[-1], 0)
    return views


def _read_tracks(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    return {
        word: f"{number:05}"
        for number, line, _ in rows(path)
        for word in line.split()
        if word.endswith(".jpg")
    }


def _named(names: tuple[str, ...], number: str, first: int) -> str:
    """The name of a number, counted from `first`; "" where it has none."""
    position = int(number) - first if number.lstrip("-").isdigit() else -1
    return names[position] if 0 <= position < len(names) else ""


LAYOUTS.register(LAYOUT, Layout(is_veri776, read))
