"""What a setting accepts, in words."""

from __future__ import annotations

from service.settings import Settings, accepted


def test_every_setting_is_described_and_says_what_it_accepts() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert accepted(field), name
