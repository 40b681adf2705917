"""`lka-reid serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from service.commands.options import BundleDir, DataDir, LogFormat, LogLevel, Runtime, Threads


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port to listen on. Default: 8000.")] = None,
    data_dir: DataDir = None,
    bundle: BundleDir = None,
    runtime: Runtime = None,
    threads: Threads = None,
    allow_anonymous: Annotated[
        bool | None,
        typer.Option("--allow-anonymous", help="Listen beyond this machine though there are no API keys."),
    ] = None,
    log_format: LogFormat = None,
    log_level: LogLevel = None,
) -> None:
    """Serve the HTTP interface until SIGTERM or Ctrl-C; requests under way are answered first.

    A data directory that does not exist is made, with an empty gallery in it. Exit status 2: it cannot start
    as it is set; 70: the device of its models is lost, start it again.

    Every setting can also come from an LKA_REID_ variable or a .env file: see `lka-reid config`.
    """
    from service.observability import logs
    from service.startup import clear_errors, settings_from

    settings = settings_from(
        host=host,
        port=port,
        data_dir=data_dir,
        bundle=bundle,
        runtime=runtime,
        threads=threads,
        allow_anonymous=allow_anonymous,
        log_format=log_format,
        log_level=log_level,
    )
    logs.configure(settings.log_format, settings.log_level)
    with clear_errors():
        from service.server import run

        run(settings)
