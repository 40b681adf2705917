"""The settings: defaults, and settings that depend on each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.settings import SettingsError, load_settings


def test_the_defaults_are_good() -> None:
    settings = load_settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.data_dir == Path("lka-reid-data")
    assert settings.bundle.parts[-2:] == ("bundles", "default")
    assert settings.max_upload_bytes == 10 * 1024 * 1024


def test_a_queue_too_small_for_a_batch_is_refused() -> None:
    with pytest.raises(SettingsError, match="LKA_REID_MAX_QUEUE=4 is less than LKA_REID_MAX_BATCH=8"):
        load_settings(max_queue=4)


def test_with_redis_a_request_has_five_seconds_and_the_password_is_not_shown() -> None:
    assert load_settings().request_deadline_s == 30
    settings = load_settings(redis_url="redis://me:secret@here:6379/0")
    assert settings.request_deadline_s == 5
    assert load_settings(redis_url="redis://here", request_deadline_s=7).request_deadline_s == 7
    assert "secret" not in repr(settings)
    assert "secret" not in str(settings.redis_url)
