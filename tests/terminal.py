"""A terminal so wide that no table breaks a path."""

from __future__ import annotations

import pytest

from models.terminal import err, out

WIDTH = 200


def widen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make what the commands print that wide: a console takes the width of the terminal when it is made."""
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    for each in (out, err):
        monkeypatch.setattr(each, "width", WIDTH)
