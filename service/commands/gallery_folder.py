"""Which gallery of a data directory a command is for, where no service is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.terminal import err
from service.startup import CommandError, settings_from

if TYPE_CHECKING:
    from service.settings import Settings

# Not by the client's variable: what is meant for a service is not to choose what is restored or purged here.
FolderCollection = Annotated[
    str | None,
    typer.Option(
        "--collection",
        metavar="NAME",
        show_default=False,
        help="The collection of the data directory that this is about. Default: the default one.",
    ),
]


def settings_of(
    data_dir: Path | None, collection: str | None, *, is_new: bool = False, **flags: Any
) -> Settings:
    """The settings, with the folder of a collection's gallery in the place of the data directory.

    Args:
        data_dir: of the command line.
        collection: its name; None for the gallery in the data directory itself.
        is_new: it need not be there yet.
        flags: of the command line.

    Raises:
        CommandError: a setting is wrong, the name is none, or there is no such collection.
    """
    from index.collections import DEFAULT, FOLDER, NAME, NAME_RULE, collection_folders

    settings = settings_from(data_dir=data_dir, **flags)
    if collection is None or collection == DEFAULT:
        return settings
    if not NAME.fullmatch(collection):
        raise CommandError(
            f"--collection {collection!r} is not accepted: a name has {NAME_RULE}", kind="invalid-collection"
        )
    found = collection_folders(settings.data_dir)
    if collection not in found and not is_new:
        raise CommandError(
            f"there is no collection {collection!r} in {settings.data_dir}",
            kind="unknown-collection",
            remedy=f"name one that is there: {', '.join([DEFAULT, *found])}",
        )
    return settings.model_copy(update={"data_dir": settings.data_dir / FOLDER / collection})


@contextmanager
def gallery_named(folder: Path) -> Iterator[None]:
    """Raise CommandError, with the remedy, where there is no gallery in the folder."""
    try:
        yield
    except FileNotFoundError as error:
        if error.filename is not None:
            raise
        raise no_gallery(folder) from None


def no_gallery(folder: Path) -> CommandError:
    """The error for a folder without a gallery."""
    return CommandError(
        f"there is no gallery in {folder}", kind="no-gallery", remedy="name its folder with --data-dir"
    )


def tell_of_others(folder: Path, what: str) -> None:
    """Name the collections that a command for one gallery has left out, where there are any."""
    from index.collections import collection_folders

    if others := collection_folders(folder):
        err.print(
            f"Not in {what}: the other collections. Name each by --collection: {', '.join(others)}",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
