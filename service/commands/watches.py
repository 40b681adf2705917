"""`lka-reid watch`: vehicles that a running service looks for, and the alerts that came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from models.terminal import err, out
from models.wording import counted
from service.commands.console import Waits, about_image, fitted_table
from service.commands.cropping import Cropped
from service.commands.given import check_fields
from service.commands.options import DEFAULT_URL, Box, Collection, Json, Key, Url
from service.startup import CommandError

if TYPE_CHECKING:
    from service.remote.watches import WatchClient

HELP = "Look for vehicles in whatever is enrolled from now on; it needs an admin's key."

WatchId = Annotated[int, typer.Argument(metavar="ID", min=1, help="The watch's number.", show_default=False)]
AlertId = Annotated[int, typer.Argument(metavar="ID", min=1, help="The alert's number.", show_default=False)]

WATCH_COLUMNS = {
    "id#": 5,
    "name": 10,
    "image id": 14,
    "cameras": 10,
    "threshold#": 11,
    "alerts#": 8,
    "webhook": 14,
}
"""Columns of watches, and the characters of a row that each takes at least, with the blanks between."""
ALERT_COLUMNS = {
    "id#": 5,
    "watch": 9,
    "image id": 14,
    "camera": 9,
    "similarity#": 12,
    "raised!": 21,
    "delivery": 10,
}
"""The same of alerts."""
SPARED = ("threshold#", "watch", "image id", "cameras", "camera", "similarity#")
"""Columns that a narrow terminal goes without, the first of them first."""

app = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode="markdown")


@app.callback(help=HELP)
def watches() -> None:
    """The group."""


@app.command()
def add(
    image: Annotated[
        Path | None, typer.Argument(help="An image of the vehicle; or --image-id.", show_default=False)
    ] = None,
    image_id: Annotated[
        str | None, typer.Option(help="An enrolled image of the vehicle.", show_default=False)
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call the watch.", show_default=False)] = None,
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Least similarity of an alert. Default: the bundle's."),
    ] = None,
    only_camera: Annotated[
        list[str] | None, typer.Option(help="Look at this camera alone; again for more.", show_default=False)
    ] = None,
    camera_id: Annotated[
        str | None, typer.Option(help="The camera that took the image.", show_default=False)
    ] = None,
    box: Box = None,
    webhook: Annotated[
        str | None, typer.Option(help="URL that alerts are delivered to.", show_default=False)
    ] = None,
    secret: Annotated[
        str | None,
        typer.Option(
            envvar="LKA_REID_WEBHOOK_SECRET",
            show_default=False,
            help="What deliveries are signed with. Default: one that is made and shown once.",
        ),
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    collection: Collection = None,
    as_json: Json = False,
) -> None:
    """Watch for a vehicle, by an image file or an enrolled image."""
    if (image is None) == (image_id is None):
        raise CommandError("name an image file, or an enrolled image by --image-id, one of both")
    check_fields(image_id=image_id, camera_id=camera_id)
    made: str | None = None
    if webhook is not None and secret is None:
        from service.watching.signature import new_secret

        secret = made = new_secret()
    fields = {
        "image_id": image_id,
        "name": name,
        "threshold": threshold,
        "only_camera_id": only_camera,
        "camera_id": camera_id,
        "box": box,
        "webhook": webhook,
        "secret": secret if webhook is not None else None,
    }
    with _client(url, key, collection, image) as client:
        watch = client.watch(image, fields)
    if as_json:
        out.print_json(data=watch if made is None else watch | {"secret": made})
        return
    out.print(f"Watch {watch['id']} looks for the vehicle from now on.")
    if made is not None:
        out.print("Deliveries are signed with this secret, which is not shown again:")
        out.print(made, soft_wrap=True)


@app.command("list")
def list_(
    url: Url = DEFAULT_URL, key: Key = None, collection: Collection = None, as_json: Json = False
) -> None:
    """List what is watched for."""
    with _client(url, key, collection) as client:
        found = client.watches()
    if as_json:
        out.print_json(data={"watches": found})
        return
    if not found:
        out.print("Nothing is watched for")
        return
    out.print(fitted_table("Watches", WATCH_COLUMNS, SPARED, map(_watch_cells, found)))


@app.command()
def remove(
    watch_id: WatchId,
    url: Url = DEFAULT_URL,
    key: Key = None,
    collection: Collection = None,
    as_json: Json = False,
) -> None:
    """Look for a vehicle no more; its alerts go with the watch."""
    with _client(url, key, collection) as client:
        client.remove_watch(watch_id)
    _said(as_json, {"removed": watch_id}, f"Removed watch {watch_id} and its alerts.")


@app.command("test")
def send_test(
    watch_id: WatchId,
    url: Url = DEFAULT_URL,
    key: Key = None,
    collection: Collection = None,
    as_json: Json = False,
) -> None:
    """Send a test message to a watch's webhook; exit status 1 where it is not accepted."""
    with _client(url, key, collection) as client:
        outcome = client.test_watch(watch_id)
    if not outcome["delivered"] and not as_json:
        raise CommandError(f"the test message was not accepted: {outcome['problem']}", code=1)
    _said(as_json, outcome, "The test message was accepted.")
    if not outcome["delivered"]:
        raise typer.Exit(1)


@app.command()
def alerts(
    limit: Annotated[int, typer.Option(min=1, help="Alerts at most, the newest first.")] = 50,
    watch_id: Annotated[
        int | None, typer.Option("--watch", min=1, help="Those of this watch alone.", show_default=False)
    ] = None,
    dead: Annotated[bool, typer.Option("--dead", help="Those whose delivery was given up.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Print alerts as they are raised, until interrupted.")
    ] = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    collection: Collection = None,
    as_json: Json = False,
) -> None:
    """List alerts. With `--follow --json` an alert is one JSON object on a line of its own."""
    if follow and (dead or watch_id is not None):
        raise CommandError("--follow shows all alerts; leave --dead and --watch out")
    with _client(url, key, collection) as client:
        if follow:
            err.print("Waiting for alerts; Ctrl-C ends it")
            for alert in client.alert_events():
                line = json.dumps(alert, ensure_ascii=False) if as_json else _line(alert)
                # A pipe is read line by line; what would move a terminal's cursor is escaped.
                print(line if line.isprintable() else json.dumps(alert if as_json else line), flush=True)
            return
        found = client.alerts(limit, watch_id, dead=dead)
    if as_json:
        out.print_json(data={"alerts": found})
        return
    if not found:
        out.print("No delivery was given up" if dead else "No alert was raised")
        return
    # The id stays: it says what an alert is of. That of the watch's image does not.
    spared = [name for name in SPARED if name != "image id"]
    out.print(fitted_table("Alerts", ALERT_COLUMNS, spared, map(_alert_cells, found)))
    out.print(counted(len(found), "alert"))


@app.command()
def retry(
    alert_id: AlertId,
    url: Url = DEFAULT_URL,
    key: Key = None,
    collection: Collection = None,
    as_json: Json = False,
) -> None:
    """Have an alert delivered again whose delivery was given up."""
    with _client(url, key, collection) as client:
        alert = client.retry(alert_id)
    _said(as_json, alert, f"Alert {alert_id} is delivered again.")


@app.command()
def drop(
    alert_id: AlertId,
    url: Url = DEFAULT_URL,
    key: Key = None,
    collection: Collection = None,
    as_json: Json = False,
) -> None:
    """Give the delivery of an alert up for good; the alert stays."""
    with _client(url, key, collection) as client:
        client.drop(alert_id)
    _said(as_json, {"dropped": alert_id}, f"Dropped the delivery of alert {alert_id}.")


@contextmanager
def _client(
    url: str, key: str | None, collection: str | None, image: Path | None = None
) -> Iterator[WatchClient]:
    """A client whose errors end the command; that of the image names its file."""
    from lka_reid_client.errors import ClientError
    from service.remote.watches import WatchClient

    try:
        with WatchClient(url, key, on_wait=Waits(), collection=collection) as client:
            yield client
    except ClientError as error:
        raise (CommandError.of(error) if image is None else about_image(error, image)) from None
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}", kind="file-error") from None


def _said(as_json: bool, document: dict[str, Any], sentence: str) -> None:
    if as_json:
        out.print_json(data=document)
    else:
        out.print(sentence)


def _watch_cells(watch: dict[str, Any]) -> dict[str, str | Cropped]:
    return {
        "id#": str(watch["id"]),
        "name": Cropped(watch["name"] or "-"),
        "image id": Cropped(watch["image_id"] or "a file"),
        "cameras": Cropped(", ".join(watch["only_camera_id"]) or "all"),
        "threshold#": "-" if watch["threshold"] is None else f"{watch['threshold']:.3f}",
        "alerts#": f"{watch['alerts']:,}",
        "webhook": Cropped(watch["webhook"] or "-"),
    }


def _alert_cells(alert: dict[str, Any]) -> dict[str, str | Cropped]:
    return {
        "id#": str(alert["id"]),
        "watch": Cropped(_watch(alert)),
        "image id": Cropped(alert["image_id"]),
        "camera": Cropped(alert["camera_id"] or "-"),
        "similarity#": f"{alert['similarity']:.3f}",
        "raised!": _second(alert["raised_at"]),
        "delivery": escape(_delivery(alert["delivery"])),
    }


def _watch(alert: dict[str, Any]) -> str:
    name = alert["watch_name"]
    return f"{alert['watch_id']} {name}" if name else str(alert["watch_id"])


def _line(alert: dict[str, Any]) -> str:
    camera = f", camera {alert['camera_id']}" if alert["camera_id"] else ""
    return (
        f"{_second(alert['raised_at'])}  watch {_watch(alert)}: {alert['image_id']}{camera}, "
        f"similarity {alert['similarity']:.3f}"
    )


def _delivery(delivery: dict[str, Any] | None) -> str:
    if delivery is None:
        return "-"
    return f"{delivery['state']}: {delivery['problem']}" if delivery["problem"] else str(delivery["state"])


def _second(moment: str) -> str:
    return moment[:19].replace("T", " ")
