"""The service's settings: one field each, from `LKA_REID_*` variables, a `.env` file, or the command line.

`fields` has them all, `loading` reads them, `words` says what each accepts.
"""

from service.settings.fields import PATH_PREFIX, Settings
from service.settings.loading import (
    CLIENT_COLLECTION,
    CLIENT_KEY,
    CLIENT_URL,
    SettingsError,
    load_settings,
    shown,
    source,
    unknown_variables,
)
from service.settings.sharing import PREFIX, SHARED_NAME
from service.settings.words import accepted, variable

__all__ = [
    "CLIENT_COLLECTION",
    "CLIENT_KEY",
    "CLIENT_URL",
    "PATH_PREFIX",
    "PREFIX",
    "SHARED_NAME",
    "Settings",
    "SettingsError",
    "accepted",
    "load_settings",
    "shown",
    "source",
    "unknown_variables",
    "variable",
]
