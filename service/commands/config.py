"""`lka-reid config`."""

from __future__ import annotations

from models.terminal import err, out
from service.commands.console import table
from service.commands.options import Json


def config(as_json: Json = False) -> None:
    """Show every setting: its value, where it comes from, and what it accepts. Secrets are masked."""
    from rich.markup import escape

    from service.settings import Settings, accepted, shown, source, unknown_variables, variable
    from service.startup import settings_from

    settings = settings_from()
    for name in unknown_variables():
        err.print(f"[yellow]Warning:[/] {escape(name)} is set, but is no setting", soft_wrap=True)
    if as_json:
        out.print_json(
            data=[
                {
                    "variable": variable(name),
                    "value": None if (value := getattr(settings, name)) is None else shown(name, value),
                    "from": source(settings, name),
                    "accepts": accepted(field),
                }
                for name, field in Settings.model_fields.items()
            ]
        )
        return
    listed = table("Settings", "variable, value", "meaning")
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        origin = source(settings, name)
        text = "[dim]not set[/]" if value is None else escape(shown(name, value) or "''")
        # With the value below, there is room for the meaning in a terminal of 80 columns.
        listed.add_row(
            f"[bold]{variable(name)}[/]\n{text}" + ("" if origin == "default" else f" [bold]({origin})[/]"),
            escape(field.description or "") + _bounds(accepted(field)),
        )
    out.print(listed)


def _bounds(words: str) -> str:
    from rich.markup import escape

    return "" if words in ("text", "a path") else f" [dim]({escape(words)})[/]"
