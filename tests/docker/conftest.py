"""The service's tests' own quiet and clean start, here too."""

from tests.service.conftest import _no_settings_from_outside, _silence

__all__ = ["_no_settings_from_outside", "_silence"]
