"""`lka-reid list`."""

from __future__ import annotations

import json
from itertools import chain
from typing import Annotated, Any

import typer

from models.terminal import out
from models.wording import counted
from service.commands.console import Waits, fitted_table
from service.commands.cropping import Cropped
from service.commands.filter_options import Where, takes_filter
from service.commands.options import DEFAULT_URL, Collection, Json, Key, Url
from service.startup import CommandError

COLUMNS = {
    "image id": 26,
    "vehicle": 12,
    "type": 12,
    "camera": 10,
    "captured!": 27,
    "view": 8,
    "tags": 10,
}
"""Columns, and the characters of a row that each takes at least, with the blanks between."""
SPARED = ("tags", "view", "type", "captured!", "camera", "vehicle")
"""Columns that a narrow terminal goes without, the first of them first."""
NOTHING = Cropped("-")


@takes_filter
def list_(
    *,
    where: Where,
    url: Url = DEFAULT_URL,
    key: Key = None,
    collection: Collection = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Records at most. All if not given.")] = None,
    as_json: Json = False,
) -> None:
    """List what is enrolled in a running service, in order of enrollment; needs an admin's key.

    With `--json` a record is one JSON object on a line of its own.
    """
    from lka_reid_client.errors import ClientError
    from service.remote.http import ServiceClient

    try:
        with ServiceClient(url, key, on_wait=Waits(), collection=collection) as client:
            records = client.records(where, limit)
            # Of a service that refuses, nothing is printed but the error.
            first = next(records, None)
            if first is None:
                if not as_json:
                    out.print("No enrolled image meets the filter" if where else "Nothing is enrolled")
                return
            if as_json:
                for record in chain([first], records):
                    line = json.dumps(record, ensure_ascii=False)
                    print(line if line.isprintable() else json.dumps(record))
                return
            rows = [_cells(record) for record in chain([first], records)]
    except ClientError as error:
        raise CommandError.of(error) from None
    shown = {name: room for name, room in COLUMNS.items() if any(row[name] != NOTHING for row in rows)}
    out.print(fitted_table("Enrolled", shown, SPARED, rows))
    out.print(counted(len(rows), "image"))


def _cells(record: dict[str, Any]) -> dict[str, Cropped]:
    fields = ("image_id", "vehicle_id", "vehicle_type", "camera_id", "captured_at", "view")
    texts = [*(record.get(field) for field in fields), ", ".join(record.get("tags") or [])]
    return {name: Cropped(text) if text else NOTHING for name, text in zip(COLUMNS, texts, strict=True)}
