"""The client is tested against the service, so it starts from what tests of the service start from."""

from __future__ import annotations

from tests.service.conftest import (  # noqa: F401 - fixtures
    _no_settings_from_outside,
    _silence,
    service,
    shared_service,
)
