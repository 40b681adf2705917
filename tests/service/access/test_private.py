"""Keys, audit log and gallery of a running service are for its own user, and are made so where not."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.access.privatefile import open_private, tighten_private
from tests.service.access.holders import guarded


@pytest.fixture(params=[0o000, 0o022, 0o277], ids=["000", "022", "277"])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    private = {True: 0o700, False: 0o600}
    return [
        str(path)
        for path in (folder, *folder.rglob("*"))
        if stat.S_IMODE(path.stat().st_mode) != private[path.is_dir()]
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("umask")
def test_a_service_makes_private_files_and_tightens_others(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with guarded(data) as it:
        it.service.client.get("/gallery", headers=it.headers("admin"))
        assert open_to_others(data) == []
    (data / "audit.jsonl.1").write_text("")
    for path in data.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    with guarded(data) as it:
        assert it.service.client.get("/gallery", headers=it.headers("admin")).status_code == 200
        assert open_to_others(data) == []


def test_a_device_and_another_users_file_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Path("/dev/null").stat().st_mode
    os.close(open_private(Path("/dev/null"), os.O_WRONLY))
    assert Path("/dev/null").stat().st_mode == before
    file = tmp_path / "keys.json"
    file.write_text("{}")
    file.chmod(0o640)
    monkeypatch.setattr("os.geteuid", lambda: file.stat().st_uid + 1)
    tighten_private(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
