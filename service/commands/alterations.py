"""`lka-reid gallery delete`, `update` and `retention`: what is done in a running service."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from models.intake.names import printable, shown
from models.terminal import out
from models.wording import counted
from service.commands.console import Waits, ask, progress
from service.commands.filter_options import Where, takes_filter
from service.commands.given import check_fields
from service.commands.options import DEFAULT_URL, Collection, Json, Key, Url
from service.startup import CommandError

MOST_DAYS = 36_500
CLEARABLE = ("vehicle_id", "camera_id", "captured_at", "view", "vehicle_type", "tags")


@takes_filter
def delete(
    *,
    where: Where,
    image_ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[IMAGE_ID]...", help="Images to delete; or give conditions.", show_default=False
        ),
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    collection: Collection = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the images, and delete none.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete images of a running service, by their ids or all that meet conditions; needs an admin's key.

    They leave every file within minutes (`lka-reid gallery purge`). An interrupted run is gone on with by
    running it again. Exit status 1 where an id is not enrolled.
    """
    from lka_reid_client.errors import ClientError
    from service.remote.http import ServiceClient

    if bool(where) == bool(image_ids):
        raise CommandError(
            "name images by their ids, or give conditions such as --only-vehicle-id; one of both"
        )
    for image_id in image_ids or []:
        check_fields(image_id=image_id)
    try:
        with ServiceClient(url, key, on_wait=Waits(), collection=collection) as client:
            if image_ids:
                _delete_named(client, image_ids, dry_run=dry_run, yes=yes, as_json=as_json)
            else:
                _delete_where(client, where, dry_run=dry_run, yes=yes, as_json=as_json)
    except ClientError as error:
        raise CommandError.of(error) from None


def _delete_named(client: Any, image_ids: list[str], *, dry_run: bool, yes: bool, as_json: bool) -> None:
    if dry_run:
        missing = [image_id for image_id in image_ids if not client.is_enrolled(image_id)]
    else:
        if not yes:
            ask(f"Delete {counted(len(image_ids), 'image')}?")
        missing = [image_id for image_id in image_ids if not client.delete(image_id)]
    found = len(image_ids) - len(missing)
    if as_json:
        counts = {"found": found, "deleted": 0 if dry_run else found}
        out.print_json(data={**counts, "not_enrolled": missing})
    else:
        for image_id in missing:
            out.print(f"Not enrolled: {shown(image_id)}", markup=False, soft_wrap=True)
        images = counted(found, "image")
        out.print(f"{images} would be deleted; none was." if dry_run else f"{images} deleted.")
    if missing:
        raise typer.Exit(1)


def _delete_where(
    client: Any, where: dict[str, str | list[str]], *, dry_run: bool, yes: bool, as_json: bool
) -> None:
    found = client.count(where)
    if as_json and (dry_run or not found):
        out.print_json(data={"found": found, "deleted": 0})
        return
    if dry_run or not found:
        out.print(f"{counted(found, 'image meets', 'images meet')} the conditions; none was deleted.")
        return
    if not yes:
        ask(f"Delete {counted(found, 'image')}?")
    deleted = 0
    with progress() as bar:
        task = bar.add_task("Deleting", total=found)
        for count, left in client.delete_where(where):
            deleted += count
            bar.update(task, completed=deleted, total=deleted + left)
    if as_json:
        out.print_json(data={"found": found, "deleted": deleted})
        return
    out.print(f"{counted(deleted, 'image')} deleted.")


def update(
    image_id: Annotated[str, typer.Argument(help="Of the image.", show_default=False)],
    url: Url = DEFAULT_URL,
    key: Key = None,
    collection: Collection = None,
    vehicle_id: Annotated[str | None, typer.Option(help="The vehicle.", show_default=False)] = None,
    camera_id: Annotated[str | None, typer.Option(help="The camera.", show_default=False)] = None,
    captured_at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Such as 2024-05-17T08:00:00+02:00.", show_default=False),
    ] = None,
    view: Annotated[str | None, typer.Option(help="The side that is seen.", show_default=False)] = None,
    vehicle_type: Annotated[str | None, typer.Option(help="The kind of vehicle.", show_default=False)] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(help="In the place of all former tags. May be given again.", show_default=False),
    ] = None,
    clear: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD",
            help=f"Take a field away: {', '.join(CLEARABLE)}. May be given again.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Change what is known of an image in a running service; needs an admin's key.

    What is not given stays as it is. The statistics of cameras follow.
    """
    from lka_reid_client.errors import ClientError
    from service.remote.http import ServiceClient

    check_fields(
        image_id=image_id,
        vehicle_id=vehicle_id,
        camera_id=camera_id,
        captured_at=captured_at,
        view=view,
        vehicle_type=vehicle_type,
        tags=tag,
    )
    given = {
        "vehicle_id": vehicle_id,
        "camera_id": camera_id,
        "captured_at": captured_at,
        "view": view,
        "vehicle_type": vehicle_type,
        "tags": tag,
        "clear": clear,
    }
    fields = {name: value for name, value in given.items() if value}
    if not fields:
        raise CommandError("nothing is to be changed: give a field a value, or take one away by --clear")
    try:
        with ServiceClient(url, key, on_wait=Waits(), collection=collection) as client:
            record = client.update(image_id, fields)
    except ClientError as error:
        raise CommandError.of(error) from None
    if as_json:
        out.print_json(data=record)
        return
    for name, value in record.items():
        if value not in (None, [], ""):
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            out.print(f"{name:<16} {printable(text)}", markup=False, soft_wrap=True)


def retention(
    days: Annotated[
        int | None,
        typer.Argument(min=1, max=MOST_DAYS, help="Days that images are kept.", show_default=False),
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    collection: Collection = None,
    off: Annotated[bool, typer.Option("--off", help="Keep images for ever.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count the images that are older, and set nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Tell or set how many days a running service keeps images; needs an admin's key.

    An image's age counts from when it was taken, or from its enrollment where that is earlier or all that is
    known. What is older is deleted, at once and from then on within an hour.
    """
    from lka_reid_client.errors import ClientError
    from service.remote.http import ServiceClient

    if off and days is not None:
        raise CommandError("give a number of days, or --off; one of both")
    try:
        with ServiceClient(url, key, on_wait=Waits(), collection=collection) as client:
            if off and not dry_run:
                answer = client.set_retention(None)
            elif days is None or dry_run:
                answer = client.retention(days)
            else:
                found = client.retention(days)["expired"]
                if found and not yes:
                    ask(
                        f"{counted(found, 'image is', 'images are')} older than {counted(days, 'day')}. "
                        f"Delete {'it' if found == 1 else 'them'}?"
                    )
                answer = client.set_retention(days)
    except ClientError as error:
        raise CommandError.of(error) from None
    if as_json:
        out.print_json(data=answer)
        return
    if dry_run and days is not None:
        older = counted(answer["expired"], "image is", "images are")
        out.print(f"{older} older than {counted(days, 'day')}; nothing was set.")
        return
    kept = "for ever" if answer["days"] is None else f"for {counted(answer['days'], 'day')}"
    out.print(f"Images are kept {kept}; {counted(answer['expired'], 'is', 'are')} to be deleted now.")
