"""What a command is given for a service, refused before it is sent where the service would refuse it."""

from __future__ import annotations

from service.startup import CommandError


def check_fields(**given: str | list[str] | None) -> None:
    """Refuse what the service takes in no field of this name, once and with its value.

    Args:
        **given: fields as `POST /gallery` has them; None for one that was not given.

    Raises:
        CommandError: the values that are refused, and what is taken.
    """
    from service.remote.fields import why_refused

    if wrong := why_refused({name: value for name, value in given.items() if value is not None}):
        raise CommandError(wrong, kind="invalid-fields")
