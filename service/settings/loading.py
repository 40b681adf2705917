"""Reading the settings from flags, the environment and a `.env` file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from service.settings.fields import Settings
from service.settings.sharing import PREFIX
from service.settings.words import accepted, variable

CLIENT_URL = "LKA_REID_URL"
"""Not a setting of the service: where its command-line clients look for it."""
CLIENT_KEY = "LKA_REID_KEY"
"""Not a setting of the service: the API key that its command-line clients show."""
CLIENT_COLLECTION = "LKA_REID_COLLECTION"
"""Not a setting of the service: the collection that its command-line clients mean."""


MASKED = "**********"


class SettingsError(ValueError):
    """One or more settings are wrong; the message names each variable, its value and what is accepted."""


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; `overrides`, those that are not None, are command-line flags and win.

    Raises:
        SettingsError: naming every wrong variable or flag, its value and what is accepted.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        # A default that depends on other settings is missing along with them; that is no mistake of its own.
        mistakes = [item for item in error.errors() if item["type"] != "default_factory_not_called"]
        raise SettingsError("\n".join(_complaint(item, given) for item in mistakes)) from None


def _complaint(item: Any, given: Mapping[str, Any]) -> str:
    if not item["loc"]:
        return str(item["ctx"]["error"])
    name = str(item["loc"][0])
    source = f"--{name.replace('_', '-')} " if name in given else f"{variable(name)}="
    value = shown(name, item["input"])
    return f"{source}{value} is not accepted; it takes {accepted(Settings.model_fields[name])}"


def shown(name: str, value: object) -> str:
    """A setting's value as it may be printed: no secret, and no user, password or parameters of a URL."""
    if "SecretStr" in str(Settings.model_fields[name].annotation):
        return MASKED
    text = str(value)
    is_path = text.startswith(("/", ".", "file:"))
    if is_path or not ("@" in text or "://" in text):
        return text
    # Here: httpx, which comes with it, is slow to import, and few settings are URLs.
    from lka_reid_client.connection import without_password

    return without_password(text, "***")


def unknown_variables(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Variables with our prefix that no setting reads: most likely misspelt."""
    known = {variable(name) for name in Settings.model_fields} | {CLIENT_URL, CLIENT_KEY, CLIENT_COLLECTION}
    return sorted(name for name in environment if name.startswith(PREFIX) and name.upper() not in known)


def source(settings: Settings, name: str) -> str:
    """Where a setting's value comes from: `environment`, `.env` or `default`."""
    if any(key.upper() == variable(name) for key in os.environ):
        return "environment"
    return ".env" if name in settings.model_fields_set else "default"
