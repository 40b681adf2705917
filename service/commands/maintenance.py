"""`lka-reid gallery stats`, `backup`, `restore`, `export` and `import`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from models.intake.names import printable
from models.terminal import err, out
from models.wording import counted
from service.commands.console import progress, table
from service.commands.filter_options import Where, takes_filter
from service.commands.gallery_folder import (
    FolderCollection,
    gallery_named,
    settings_of,
    tell_of_others,
)
from service.commands.options import DataDir, Json
from service.identifiers import (
    CAMERA_ID_RULE,
    IMAGE_ID_RULE,
    LABEL_RULE,
    MAX_TAGS,
    is_camera_id,
    is_image_id,
    is_label,
    named,
)
from service.startup import CommandError, clear_errors

if TYPE_CHECKING:
    from index import Enrollment
    from service.remote.outcome import Outcome


def stats(
    data_dir: DataDir = None,
    collection: FolderCollection = None,
    as_json: Json = False,
) -> None:
    """Tell what a gallery holds and how much room it takes, beside a running service too."""
    settings = settings_of(data_dir, collection)
    with clear_errors(), gallery_named(settings.data_dir):
        from index.upkeep.statistics import statistics

        found = statistics(settings.data_dir)
    if as_json:
        out.print_json(data=asdict(found), default=str)
        return
    made = table(f"Gallery in {settings.data_dir}", "", "#")
    kept = "for ever" if found.retention_days is None else counted(found.retention_days, "day")
    for name, value in (
        ("images", f"{found.images:,}"),
        ("vehicles, cameras that are named", f"{found.vehicles:,}, {found.cameras:,}"),
        ("images with the bytes of another one", f"{found.same_bytes:,}"),
        ("enrolled", _span(found.first, found.last)),
        ("captured", _span(found.captured_first, found.captured_last)),
        ("kept", kept),
        ("model", found.header.fingerprint[:12]),
        ("schema version, last change", f"{found.schema_version}, {found.change:,}"),
        ("database", decimal(found.database)),
        ("of that, free", decimal(found.free)),
        ("write-ahead log", decimal(found.log)),
        ("index snapshot", decimal(found.snapshot)),
        ("backups of migrations, what repairs put aside", decimal(found.beside)),
    ):
        made.add_row(name, value)
    out.print(made)
    tell_of_others(settings.data_dir, "these figures")


def backup(
    target: Annotated[Path, typer.Argument(help="New folder for the backup.", show_default=False)],
    data_dir: DataDir = None,
    collection: FolderCollection = None,
    as_json: Json = False,
) -> None:
    """Copy the gallery as it is at this moment to a new folder, beside a running service too.

    The copy is one file, checked by its SHA-256 when it is restored. Keys and audit log are not in it.
    """
    settings = settings_of(data_dir, collection)
    with clear_errors(), gallery_named(settings.data_dir), _bytes_progress() as bar:
        from index.upkeep.backup import back_up

        task = bar.add_task("Copying", total=None)
        made = back_up(
            settings.data_dir, target, lambda done, total: bar.update(task, completed=done, total=total)
        )
    if as_json:
        out.print_json(data={"folder": str(target), **asdict(made)})
        return
    out.print(
        f"{counted(made.images, 'image is', 'images are')} backed up in {printable(str(target))} "
        f"({decimal(made.bytes)}).",
        markup=False,
        soft_wrap=True,
    )
    tell_of_others(settings.data_dir, "the backup")


def restore(
    source: Annotated[Path, typer.Argument(help="Folder of the backup.", show_default=False)],
    data_dir: DataDir = None,
    collection: FolderCollection = None,
    as_json: Json = False,
) -> None:
    """Make the data directory the gallery that a backup holds. A gallery that is there is never
    overwritten."""
    settings = settings_of(data_dir, collection, is_new=True)
    with clear_errors(), _bytes_progress() as bar:
        from index.upkeep.backup import restore as bring_back

        task = bar.add_task("Copying", total=None)
        made = bring_back(
            source, settings.data_dir, lambda done, total: bar.update(task, completed=done, total=total)
        )
    if as_json:
        out.print_json(data={"folder": str(settings.data_dir), **asdict(made)})
        return
    out.print(
        f"{counted(made.images, 'image is', 'images are')} restored in {settings.data_dir}, "
        f"of the model {made.fingerprint[:12]}. "
        "The next start builds the vector index.",
        soft_wrap=True,
    )


@takes_filter
def export(
    *,
    where: Where,
    target: Annotated[Path, typer.Argument(help="New file for the archive (.zip).", show_default=False)],
    data_dir: DataDir = None,
    collection: FolderCollection = None,
    as_json: Json = False,
) -> None:
    """Write records, images and descriptors to one portable file, beside a running service too.

    It is a ZIP archive: `records.csv` in it is a CSV manifest that `lka-reid enroll` reads once it is
    unpacked.
    """
    settings = settings_of(data_dir, collection)
    with clear_errors(), gallery_named(settings.data_dir), progress() as bar:
        from index.upkeep.archive import export as write
        from service.filtering import FilterFields
        from service.retrieval.filtering import filter_of

        task = bar.add_task("Exporting", total=None)
        images = write(
            settings.data_dir,
            target,
            filter_of(FilterFields.model_validate(where)),
            on_image=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if as_json:
        out.print_json(data={"file": str(target), "images": images})
        return
    out.print(
        f"{counted(images, 'image is', 'images are')} in {printable(str(target))}.",
        markup=False,
        soft_wrap=True,
    )
    tell_of_others(settings.data_dir, "the archive")


def import_(
    source: Annotated[Path, typer.Argument(help="File of the archive.", show_default=False)],
    data_dir: DataDir = None,
    collection: FolderCollection = None,
    as_json: Json = False,
) -> None:
    """Enroll what an archive holds, with its descriptors. Stop the service first.

    The gallery is made where there is none, and must be of the archive's model: for another one, unpack the
    archive and enroll `records.csv`. What is enrolled already as the archive has it is left as it is, so an
    interrupted import is resumed by running it again. Exit status 1 when any image is missing in the gallery.
    """
    from service.commands.enrollment_summary import as_json as outcome_json
    from service.commands.enrollment_summary import counts, not_enrolled_table
    from service.remote.outcome import Outcome

    settings = settings_of(data_dir, collection, is_new=True)
    outcome = Outcome()
    try:
        with clear_errors():
            _import(source, settings.data_dir, outcome)
    except BaseException:
        if outcome.counts and not as_json:
            out.print(counts(outcome))
        raise
    if as_json:
        out.print_json(data=outcome_json(outcome, {}))
    else:
        made = not_enrolled_table(outcome)
        if made.row_count:
            err.print(made)
        out.print(counts(outcome))
    if outcome.missing:
        raise typer.Exit(1)


def _import(source: Path, folder: Path, outcome: Outcome) -> None:
    from index import FingerprintMismatchError
    from index.upkeep.archive_reader import ArchiveReader
    from index.upkeep.importing import Became, import_archive
    from service.remote.outcome import Fate

    fates = {
        Became.enrolled: Fate.enrolled,
        Became.already: Fate.already,
        Became.other_image: Fate.other_image,
        Became.other_fields: Fate.other_fields,
        Became.failed: Fate.failed,
    }
    with ArchiveReader(source) as reader, progress() as bar:
        task = bar.add_task("Importing", total=reader.images)
        try:
            for image_id, became, reason in import_archive(reader, folder, _fault_of):
                outcome.add(image_id, fates[became], reason)
                bar.advance(task)
        except FingerprintMismatchError as error:
            raise CommandError(
                f"the gallery in {folder} is of the model {error.gallery_fingerprint}, the archive of "
                f"{error.bundle_fingerprint}; unpack the archive, start the service, and enroll its images "
                "with `lka-reid enroll records.csv --ignore-columns`"
            ) from None
        except BaseException:
            if outcome.counts:
                outcome.counts[Fate.not_tried] = reader.images - outcome.counts.total()
            raise


def _fault_of(enrollment: Enrollment) -> str | None:
    """What of an archive's image no request could have enrolled, in words: the service would show it to
    browsers, or never find it again."""
    from models.decoding.formats import MEDIA_TYPES, media_type

    if not is_image_id(enrollment.image_id):
        return f"its image_id is not legal; it takes {IMAGE_ID_RULE}"
    for name in ("vehicle_id", "camera_id", "view", "vehicle_type"):
        value = getattr(enrollment, name)
        if value is not None and not is_label(value):
            return f"its {name} is not a legal label; it takes {LABEL_RULE}"
    camera = enrollment.camera_id
    if camera is not None and not is_camera_id(camera):
        return (
            f"its camera_id {named(camera)} is not legal; it takes {CAMERA_ID_RULE}; give the image another "
            "one by `lka-reid gallery update` before you export it"
        )
    if len(enrollment.tags) > MAX_TAGS or not all(map(is_label, enrollment.tags)):
        return f"its tags are not legal; there are {MAX_TAGS} at most, each {LABEL_RULE}"
    if enrollment.media_type not in MEDIA_TYPES:
        return f"its media_type is none of {', '.join(sorted(MEDIA_TYPES))}"
    found = media_type(enrollment.image)
    if found != enrollment.media_type:
        is_image = found in MEDIA_TYPES
        return (
            f"its file is {found if is_image else 'no image'}, not {enrollment.media_type} as its record says"
        )
    return None


def _bytes_progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=err
    )


def _span(first: datetime | None, last: datetime | None) -> str:
    if first is None or last is None:
        return "-"
    return f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"
