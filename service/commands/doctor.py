"""`lka-reid doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from models.terminal import err, out
from models.wording import counted
from service.commands.console import table
from service.commands.options import BundleDir, DataDir, Json, Runtime

STYLES = {"ok": "green", "wrong": "bold red", "left out": "dim"}


def doctor(
    data_dir: DataDir = None,
    bundle: BundleDir = None,
    runtime: Runtime = None,
    redis_url: Annotated[str | None, typer.Option(help="Redis to look at, as redis://host:port/0.")] = None,
    as_json: Json = False,
) -> None:
    """Look at all that serving needs, and say of each line whether it is right and what to do.

    Python, driver, CUDA, cuDNN, every runtime by a small session, the bundle by a real forward pass, FAISS,
    Redis, disk and gallery, as the settings have them. What is not there and not needed is left out. Exit
    status 1 where something is wrong.
    """
    from rich.markup import escape

    from service.diagnosis.examination import examine
    from service.diagnosis.finding import State
    from service.observability import logs
    from service.startup import settings_from

    settings = settings_from(data_dir=data_dir, bundle=bundle, runtime=runtime, redis_url=redis_url)
    logs.configure("console", "error")
    findings = []
    with err.status("Looking") as status:
        for finding in examine(settings):
            findings.append(finding)
            status.update(f"Looked at {finding.what}")
    bad = sum(finding.state is State.wrong for finding in findings)
    if as_json:
        out.print_json(data={"ok": not bad, "findings": [finding.as_json() for finding in findings]})
    else:
        shown = table("Findings", "what!", "state!", "found, and what to do")
        for finding in findings:
            state = f"[{STYLES[finding.state]}]{finding.state}[/]"
            remedy = f"\n→ {escape(finding.remedy)}" if finding.remedy else ""
            shown.add_row(escape(finding.what), state, escape(finding.found) + remedy)
        out.print(shown)
        wrong = counted(bad, "is", "are")
        out.print(f"{wrong} wrong, of {counted(len(findings), 'finding')}" if bad else "nothing is wrong")
    if bad:
        raise typer.Exit(1)
