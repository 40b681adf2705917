"""What the service's commands print: tables, progress bars and waits in one style."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from typer.exceptions import Abort

from models.intake.names import printable, shown
from models.terminal import TitledTable, err, out
from models.wording import counted
from service.commands.cropping import Cropped
from service.startup import CommandError

if TYPE_CHECKING:
    from lka_reid_client.errors import ClientError

MATCH_COLUMNS = {
    "rank#": 6,
    "first\nstage#": 7,
    "!": 4,
    "similarity#": 12,
    "match!": 7,
    "re-rank\ndistance#": 10,
    "vehicle": 10,
    "camera": 10,
    "image id": 19,
}
"""Columns of matches, and the characters of a row that each takes at least, with the blanks between."""
SPARED = ("first\nstage#", "re-rank\ndistance#", "!", "camera", "vehicle", "match!")
"""Columns that a narrow terminal goes without, the first of them first."""


class Waits:
    """Prints what a client waits for; the same reason once in SILENCE_S.

    Args:
        console: prints it, above a progress bar where one is drawn there.
    """

    SILENCE_S = 10.0

    def __init__(self, console: Console = err) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}

    def __call__(self, seconds: float, reason: str) -> None:
        """A wait of so many seconds begins, for this reason; any thread may call."""
        with self._lock:
            now = time.monotonic()
            if now - self._last.get(reason, -math.inf) >= self.SILENCE_S:
                self._last[reason] = now
                self._console.print(
                    f"Trying again in {seconds:.1f} s: {escape(printable(reason))}",
                    style="yellow",
                    soft_wrap=True,
                )


def table(title: str, *columns: str) -> TitledTable:
    """An empty table in the style of all commands.

    A column whose name ends in `#` holds numbers; those and one that ends in `!` are never broken.
    """
    made = TitledTable(
        title,
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        show_header=any(column.strip("#!") for column in columns),
    )
    for column in columns:
        made.add_column(
            column.rstrip("#!"),
            justify="right" if column.endswith("#") else "left",
            no_wrap=column.endswith(("#", "!")),
            overflow="fold",
        )
    return made


def with_room(widths: Mapping[str, int], spared: Sequence[str]) -> list[str]:
    """The columns of a table for which the terminal has room.

    Args:
        widths: characters of a row that each column takes at least, with the blanks between.
        spared: columns that a narrow terminal goes without, the first of them first.
    """
    columns = list(widths)
    for each in spared:
        if sum(widths[column] for column in columns) > out.width and each in columns:
            columns.remove(each)
    return columns


def fitted_table(
    title: str,
    widths: Mapping[str, int],
    spared: Sequence[str],
    rows: Iterable[Mapping[str, str | Cropped]],
    style: Callable[[int], str | None] = lambda _row: None,
) -> TitledTable:
    """A table of the columns for which the terminal has room.

    Args:
        title: above it.
        widths: of `with_room`; the columns are named as `table` takes them.
        spared: of `with_room`.
        rows: the cells of each by their columns, also of those that are spared.
        style: of a row, by its number.
    """
    columns = with_room(widths, spared)
    made = table(title, *columns)
    for number, cells in enumerate(rows):
        made.add_row(*(cells[column] for column in columns), style=style(number))
    return made


def ask(question: str) -> None:
    """Ask on stderr whether to go on.

    Raises:
        Abort: the answer is no, or there is nobody to give one.
    """
    try:
        agreed = typer.confirm(question, err=True)
    except Abort:
        err.print()  # what is printed next is no answer
        raise
    if not agreed:
        raise Abort


def progress() -> Progress:
    """A progress bar with count and time left, on stderr."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
    )


def matches_table(answer: Mapping[str, Any], title: str, vehicle_id: str | None = None) -> Table:
    """A query's answer as a table. A terminal of less than 80 columns gets fewer of its columns.

    Args:
        answer: what `POST /query` answered.
        title: above it.
        vehicle_id: the probe's vehicle, where known: its matches are marked.
    """
    # A bundle without a threshold says of no match whether it is one.
    judged = any(match.get("is_match") is not None for match in answer["matches"])
    # Where no match names its vehicle, the room is the image ids'.
    named = vehicle_id is not None or any(match["vehicle_id"] for match in answer["matches"])
    # The second stage moves few, and often none: both stages' places are the same then.
    moved = any(match["rank"] != match["first_stage_rank"] for match in answer["matches"])
    wanted = {"match!": judged, "vehicle": named, "first\nstage#": moved, "!": moved}
    without = {column for column, is_shown in wanted.items() if not is_shown}
    widths = {name: room for name, room in MATCH_COLUMNS.items() if name not in without}
    right = [vehicle_id is not None and match["vehicle_id"] == vehicle_id for match in answer["matches"]]
    rows = map(_match_cells, answer["matches"], right)
    return fitted_table(title, widths, SPARED, rows, lambda row: "bold green" if right[row] else None)


def _match_cells(match: Mapping[str, Any], right: bool) -> dict[str, str | Cropped]:
    moved = match["first_stage_rank"] - match["rank"]
    arrow = f"[green]▲{moved}[/]" if moved > 0 else f"[red]▼{-moved}[/]" if moved < 0 else ""
    distance = match["rerank_distance"]
    return {
        "rank#": str(match["rank"]),
        "first\nstage#": str(match["first_stage_rank"]),
        "!": arrow,
        "similarity#": f"{match['similarity']:.4f}",
        "match!": "yes" if match.get("is_match") else "no",
        "re-rank\ndistance#": "-" if distance is None else f"{distance:.4f}",
        "vehicle": Cropped(match["vehicle_id"] or "-", " ✓" if right else ""),
        "camera": Cropped(match["camera_id"] or "-"),
        "image id": Cropped(match["image_id"]),
    }


def verdict_line(answer: Mapping[str, Any]) -> str | None:
    """Whether any enrolled image is a match by the bundle's threshold; None where there is none to say so."""
    judgements = [match.get("is_match") for match in answer["matches"]]
    if not judgements or None in judgements:
        return None
    found = sum(judgements)
    if found:
        return f"[bold]match[/]: {found} of {len(judgements)} reach the bundle's threshold"
    return f"[bold]no match[/]: none of {len(judgements)} reaches the bundle's threshold"


def scene_line(answer: Mapping[str, Any]) -> str | None:
    """What to do where no match reaches the threshold for the image is a frame; None where that is not so."""
    missed = all(match.get("is_match") is False for match in answer["matches"])
    if answer.get("crop") is not None or not missed:
        return None
    return "if the image shows a whole scene: --detect largest searches for the vehicle in it"


def decided_line(answer: Mapping[str, Any]) -> str | None:
    """What verdicts on the probe did to the answer, in one line; None where there are none."""
    kinds = Counter(verdict["verdict"] for verdict in answer.get("verdicts", ()))
    did = {"same": "as the same vehicle", "different": "left out as another one"}
    done = ", ".join(f"{kinds[kind]} {what}" for kind, what in did.items() if kinds[kind])
    return f"verdicts on this probe: {done} (--no-verdicts asks without them)" if done else None


def timings_line(answer: Mapping[str, Any]) -> str:
    """Where a query's time went, in one line."""
    timings = answer["timings_ms"]
    stages = ", ".join(f"{stage} {spent:.1f}" for stage, spent in timings.items() if stage != "total")
    second = "both stages" if answer["reranked"] else "first stage alone"
    searched = "" if answer.get("searched") is None else f", {answer['searched']:,} of them searched"
    images = f"{counted(answer['gallery_size'], 'image')} enrolled{searched}"
    return f"{second}, {images}, {timings['total']:.0f} ms ({stages})"


def normalisation_line(used: Mapping[str, Any]) -> str:
    """What of the cameras was taken out of the descriptors that a query compared, in one line."""
    of = {
        "known": "the probe's camera",
        "global": "half the mean of all images, for the probe's camera is not known",
        "off": None,
    }.get(used["camera"], used["camera"])
    if of is None:
        return "taken out of descriptors: nothing, for too little is known of the cameras"
    return f"taken out of descriptors: {of} (version {used['version']})"


def about_image(error: ClientError, image: Path) -> CommandError:
    """What a service said of an image, with the file's name where the file is what is wrong."""
    from lka_reid_client.errors import RefusedError
    from lka_reid_client.kinds import Kind

    if isinstance(error, RefusedError) and error.kind == Kind.NOT_AN_IMAGE:
        return CommandError.of(error.saying(f"{shown(image)}: {error}"))
    return CommandError.of(error)


def failures_table(failures: Iterable[tuple[str, str]]) -> Table:
    """Paths and why each failed."""
    made = table("Failed", "path", "reason")
    for path, reason in failures:
        made.add_row(escape(path), escape(reason))
    return made
