"""What `lka-reid enroll` is given: folders, image files and CSV manifests, as a list of uploads."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from models.intake.columns import Columns
from models.intake.files import RealPaths, reason_of, why_unreadable
from models.intake.folder import find_images
from models.intake.names import shown, slash_hint
from models.intake.table import TableError, read_table
from service.remote.fields import why_not_fields
from service.remote.outcome import Fate, NotEnrolled

TABLES = frozenset({".csv", ".tsv"})
SHEETS = frozenset({".xlsx", ".xls", ".ods", ".numbers"})
FIELDS = ("image_id", "vehicle_id", "camera_id", "captured_at", "view", "vehicle_type")
COLUMNS = Columns(
    required=("path",),
    optional=(*FIELDS, "tags"),
    # What training reads of the same table, and the gallery has no place for.
    elsewhere=("colour", "track", "model", "group", "role"),
    strict=True,
    escape="--ignore-columns",
)
ENCODING_REMEDY = "save it as UTF-8, or name its encoding, such as --encoding cp1252"
IDS_APART = (
    "enroll the folder that holds both, or each by itself with an --id-prefix of its own, such as "
    "--id-prefix gate-4/"
)
SHOWN = 3

Fields = Mapping[str, str | list[str]]


class SourceError(ValueError):
    """What was given cannot be enrolled from; the message says why. Nothing was sent."""


@dataclass(frozen=True)
class Upload:
    """An image file and the form fields that go with it; `origin` is the row that names it, for messages."""

    path: Path
    fields: dict[str, str | list[str]] = field(default_factory=dict)
    origin: str = field(default="", compare=False)

    @property
    def image_id(self) -> str:
        """Under which it is to be enrolled."""
        return str(self.fields["image_id"])

    @property
    def place(self) -> str:
        """What a message calls it."""
        return self.origin or shown(self.path)


@dataclass(frozen=True)
class Options:
    """How sources are read.

    Attributes:
        defaults: fields of the images for which nothing else is said.
        id_prefix: stands before every image id.
        outside: whether a manifest may name files that are not below its folder, links followed.
        encoding: of tables that do not say so themselves; None for UTF-8.
        ignore_columns: leave columns that are not known unread.
    """

    defaults: Fields = field(default_factory=dict)
    id_prefix: str = ""
    outside: bool = False
    encoding: str | None = None
    ignore_columns: bool = False

    def check(self) -> None:
        """Refuse an id prefix or a default that the service would refuse with each image.

        Raises:
            SourceError: it, and what is taken.
        """
        wrong = why_not_fields({"image_id": f"{self.id_prefix}a", **self.defaults})
        if wrong:
            raise SourceError(
                f"--id-prefix, --vehicle-id, --camera-id or --vehicle-type is not accepted: {wrong}"
            )


@dataclass(frozen=True)
class Sources:
    """What was found: what can be sent, what cannot, and the columns of each table that are left unread."""

    uploads: list[Upload]
    not_enrolled: list[NotEnrolled]
    unread_columns: dict[str, tuple[str, ...]]


def find_uploads(paths: Iterable[Path], options: Options | None = None) -> Sources:
    """The uploads that these paths stand for, in order, each checked as far as it can be without being read.

    A folder stands for all images below it (see `find_images`), each with its path in the folder as image id.
    A `.csv` or `.tsv` file stands for its rows: `path` (from the file's own folder) and, where they exist,
    `image_id` (else the path), `vehicle_id`, `camera_id`, `captured_at`, `view`, `vehicle_type`, `tags`
    (separated by `;`). Any other file is an image, with its name as image id.

    Raises:
        SourceError: a path that cannot be read, a table whose header cannot be, two sources with the same
            image id, a default or prefix that is not accepted, or nothing to enroll at all.
    """
    reader = _Reader(options or Options())
    for path in paths:
        reader.read(path)
    reader.require_no_clash()
    found = reader.found
    if not found.uploads and all(entry.fate is Fate.skipped for entry in found.not_enrolled):
        reasons = Counter(entry.reason for entry in found.not_enrolled)
        left = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
        raise SourceError(f"there is nothing to enroll: no image was found{left and f'; left out: {left}'}")
    return found


@dataclass(frozen=True)
class _Taken:
    """An upload, and the number of the source that it is from."""

    source: int
    upload: Upload


class _Reader:
    """Reads one source after the other; no file and no image id is taken twice."""

    def __init__(self, options: Options) -> None:
        self.found = Sources([], [], {})
        self._options = options
        self._source = 0
        self._real_paths = RealPaths()
        self._by_file: dict[str, _Taken] = {}
        self._by_id: dict[str, _Taken] = {}
        self._one_file: list[str] = []
        self._one_id: list[str] = []
        options.check()

    def read(self, path: Path) -> None:
        """Read one more source."""
        self._source += 1
        try:
            if not os.path.lexists(path):
                raise SourceError(f"{shown(path)} does not exist")
            if path.is_dir():
                self._folder(path)
            elif path.suffix.lower() in TABLES:
                self._table(path)
            elif path.suffix.lower() in SHEETS:
                raise SourceError(f"{shown(path)} is a spreadsheet; save it as CSV")
            else:
                self._add(Upload(path, {"image_id": path.name}))
        except OSError as error:
            raise SourceError(f"{shown(path)} {reason_of(error)}") from None
        except TableError as error:
            raise SourceError(str(error)) from None

    def require_no_clash(self) -> None:
        """Refuse what two sources would enroll differently."""
        for clashes, remedy in ((self._one_file, "name it once"), (self._one_id, IDS_APART)):
            if clashes:
                more = f"; and {len(clashes) - SHOWN:,} more" if len(clashes) > SHOWN else ""
                raise SourceError(f"{'; '.join(clashes[:SHOWN])}{more}: {remedy}")

    def _folder(self, folder: Path) -> None:
        found = find_images(folder)
        for left in found.left_out:
            fate = Fate.failed if left.missing else Fate.skipped
            self.found.not_enrolled.append(NotEnrolled(shown(left.path), fate, left.reason))
        for path in found.images:
            self._add(Upload(path, {"image_id": path.relative_to(folder).as_posix()}))

    def _table(self, path: Path) -> None:
        options = self._options
        table = read_table(
            path,
            COLUMNS,
            encoding=options.encoding,
            lenient=options.ignore_columns,
            remedy=ENCODING_REMEDY,
        )
        if table.unread:
            self.found.unread_columns[shown(path)] = table.unread
        for fault in table.faults:
            self._fail(f"{shown(path)}, line {fault.line}", fault.reason)
        for row in table.rows:
            self._row(path, row.values, f"{shown(path)}, line {row.line}")

    def _row(self, table: Path, values: Mapping[str, str], place: str) -> None:
        text = values["path"]
        if not text:
            self._fail(place, "path is empty")
            return
        place = f"{place}: {shown(text)}"
        path = table.parent / text
        where = None if self._options.outside else self._real_paths.why_outside(path, table.parent)
        if where:
            self._fail(place, f"{where}, outside the manifest's folder; add --outside to take it from there")
        elif slash_hint(text) and not path.exists():
            self._fail(place, f"does not exist{slash_hint(text)}")
        else:
            own_id = os.path.normpath(text)
            if own_id.startswith((os.sep, os.pardir)):
                # Still below the folder, perhaps, by its whole path or by way of the folder above.
                own_id = Path(os.path.relpath(os.path.normpath(path), table.parent)).as_posix()
            fields: dict[str, str | list[str]] = {"image_id": own_id}
            fields |= {name: values[name] for name in FIELDS if values.get(name)}
            if str(fields["image_id"]).startswith(os.pardir + os.sep):
                self._fail(
                    place, "leaves the manifest's folder, so that its path is no image id; give it one"
                )
                return
            if tags := [tag.strip() for tag in values.get("tags", "").split(";") if tag.strip()]:
                fields["tags"] = tags
            self._add(Upload(path, fields, place))

    def _add(self, upload: Upload) -> None:
        """Take an upload, unless it cannot be sent or another one is in its way."""
        image_id = f"{self._options.id_prefix}{upload.image_id}"
        upload = replace(upload, fields={**self._options.defaults, **upload.fields, "image_id": image_id})
        wrong = why_unreadable(upload.path) or why_not_fields(upload.fields)
        if wrong:
            self._fail(upload.place, wrong)
            return
        real = self._real_paths.of(upload.path)
        same_file, same_id = self._by_file.get(real), self._by_id.get(image_id)
        if same_file and _alike(same_file.upload, upload):
            self._leave_out(upload.place, Fate.skipped, "given twice")
        elif same_file:
            self._clash(same_file, upload, "are the same file, with other fields", self._one_file)
        elif same_id:
            self._clash(same_id, upload, f"would both be enrolled as {image_id!r}", self._one_id)
        else:
            self._by_file[real] = self._by_id[image_id] = _Taken(self._source, upload)
            self.found.uploads.append(upload)

    def _clash(self, first: _Taken, upload: Upload, why: str, between_sources: list[str]) -> None:
        if first.source == self._source:
            self._fail(upload.place, f"it and '{first.upload.place}' {why}")
        else:
            between_sources.append(f"{first.upload.place} and {upload.place} {why}")

    def _fail(self, place: str, reason: str) -> None:
        self._leave_out(place, Fate.failed, reason)

    def _leave_out(self, place: str, fate: Fate, reason: str) -> None:
        self.found.not_enrolled.append(NotEnrolled(place, fate, reason))


def _alike(first: Upload, other: Upload) -> bool:
    """Whether two uploads of one file come to the same; an image id that nobody chose makes no difference."""
    chosen = bool(first.origin or other.origin)
    left = {} if chosen else {"image_id": ""}
    return {**first.fields, **left} == {**other.fields, **left}
