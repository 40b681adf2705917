"""Options that several commands take; each wins over its LKA_REID_ variable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from models.terminal import JSON_HELP
from service.settings import CLIENT_COLLECTION, CLIENT_KEY, CLIENT_URL

DataDir = Annotated[Path | None, typer.Option(help="Folder of the gallery. Default: lka-reid-data.")]
BundleDir = Annotated[
    Path | None, typer.Option("--bundle", help="Folder of the model bundle. Default: the shipped one.")
]
Runtime = Annotated[
    str | None,
    typer.Option(
        help="What runs the models: cuda, torch-cuda, openvino or cpu, refused where it does not "
        "start; or auto, the first of cuda, openvino and cpu that does. Default: auto."
    ),
]
Threads = Annotated[
    int | None, typer.Option(help="Threads of the runtime on a CPU. Default: the runtime's choice.")
]
LogFormat = Annotated[
    str | None, typer.Option(help="json, console, or auto: console on a terminal. Default: auto.")
]
LogLevel = Annotated[str | None, typer.Option(help="debug, info, warning or error. Default: info.")]
Url = Annotated[
    str,
    typer.Option(
        envvar=CLIENT_URL, help="Where the service answers.", show_default="port 8000 of this machine"
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        envvar=CLIENT_KEY,
        show_default=False,
        help="API key. Better given by the variable: others see a command's arguments.",
    ),
]
DetectorDir = Annotated[
    Path | None,
    typer.Option(
        "--detector", help="Folder of the detector that looks in this process. Default: the shipped one."
    ),
]
Box = Annotated[
    str | None,
    typer.Option(
        help="Of a frame, an image of a whole scene: the vehicle's box as left,top,width,height in px.",
        show_default=False,
    ),
]
Collection = Annotated[
    str | None,
    typer.Option(
        "--collection",
        envvar=CLIENT_COLLECTION,
        show_default=False,
        help="The collection that this is about. Default: the default one.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help=JSON_HELP)]
DEFAULT_URL = "http://127.0.0.1:8000"
