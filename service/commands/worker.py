"""`lka-reid worker`."""

from __future__ import annotations

from typing import Annotated

import typer

from service.commands.options import BundleDir, LogFormat, LogLevel, Runtime, Threads


def worker(
    redis_url: Annotated[
        str | None, typer.Option(help="Redis that the service uses too, as redis://host:port/0.")
    ] = None,
    bundle: BundleDir = None,
    runtime: Runtime = None,
    threads: Threads = None,
    processes: Annotated[
        int | None, typer.Option(help="Worker processes; those that end are started again. Default: 1.")
    ] = None,
    supervise: Annotated[
        bool, typer.Option("--supervise", help="Have a single process, too, watched over by a parent.")
    ] = False,
    metrics_host: Annotated[str | None, typer.Option(help="Address of /metrics. Default: 127.0.0.1.")] = None,
    metrics_port: Annotated[int | None, typer.Option(help="TCP port of /metrics. Default: 9100.")] = None,
    log_format: LogFormat = None,
    log_level: LogLevel = None,
    member: Annotated[bool, typer.Option("--member", hidden=True)] = False,
) -> None:
    """Embed images for services behind Redis until SIGTERM or Ctrl-C; what is in hand is answered first.

    Start as many as there is work for, on any machine that reaches Redis. Exit status 2: it cannot start as
    it is set; 70: its device is lost, start it again. A parent process, which --processes and --supervise
    start, does so itself, and has what a process that died was working on taken over at once.
    """
    from service.observability import logs
    from service.startup import clear_errors, settings_from

    settings = settings_from(
        redis_url=redis_url,
        bundle=bundle,
        runtime=runtime,
        threads=threads,
        processes=processes,
        metrics_host=metrics_host,
        metrics_port=metrics_port,
        log_format=log_format,
        log_level=log_level,
    )
    logs.configure(settings.log_format, settings.log_level)
    with clear_errors():
        if (supervise or settings.processes > 1) and not member:
            from service.worker.supervisor import Supervisor

            Supervisor(settings).run()
            return
        from service.worker.process import run

        run(settings, is_member=member)
