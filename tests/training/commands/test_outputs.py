"""What a command cannot write ends it before its work begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service.command_line import Command
from training.atomic import OutputError, require_writable


@pytest.mark.parametrize(
    "words",
    [
        "tune DATA --out",
        "adapt DATA --out",
        "label DATA --out",
        "train embedder --config CONFIG --data DATA --out",
        "train reranker --config CONFIG --data DATA --out",
        "train classifier --config CONFIG --data DATA --out",
        "train default-bundle --data DATA --out",
        "evaluate --data DATA --sheet",
        "calibrate --data DATA --plot",
        "exchange-reranker --data DATA --out",
        "export DATA --out",
        "training answer-sheet --out",
        "training compare-rerankers DATA --out",
        "training ablation --config CONFIG --data DATA --out",
    ],
)
def test_a_place_that_cannot_be_written_is_said_first(words: str, tmp_path: Path, command: Command) -> None:
    (tmp_path / "file").touch()
    outcome = command(*words.split(), tmp_path / "file" / "out")
    assert outcome.code == 2
    assert "cannot be written" in outcome.err
    assert "is no folder" in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_can_be_written_is_let_through_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "there.png").write_text("old", encoding="utf-8")
    require_writable(tmp_path, tmp_path / "there.png", tmp_path / "new" / "deeper", Path("relative.png"))
    assert [path.name for path in tmp_path.iterdir()] == ["there.png"]
    assert (tmp_path / "there.png").read_text(encoding="utf-8") == "old"


def test_a_file_system_that_refuses_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("training.atomic.tempfile.TemporaryFile", refuse)
    with pytest.raises(OutputError, match=r"own: cannot be written: .*: Read-only file system"):
        require_writable(tmp_path / "own")
