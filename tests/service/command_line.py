"""Running `lka-reid` in tests: in this process, or as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from service.cli import main
from service.server import listen
from tests.service.fakes import wait_until_ready
from tests.terminal import widen

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Outcome:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


def command_runner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """A function that runs `lka-reid` with these arguments in this process."""
    widen(monkeypatch)

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["lka-reid", *map(str, arguments)])
        code = 0
        capsys.readouterr()  # what was printed before is not the command's
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


def free_port() -> int:
    with listen("127.0.0.1", 0) as sock:
        return int(sock.getsockname()[1])


@dataclass(frozen=True)
class Process:
    """A service in a process of its own."""

    process: subprocess.Popen[str]
    url: str


@contextmanager
def serving_process(*arguments: object, module: str = "tests.service.fake_command") -> Iterator[Process]:
    """`lka-reid serve` with the fakes of a module, ready."""
    port = free_port()
    command = [sys.executable, "-m", module, "serve", "--port", str(port)]
    process = subprocess.Popen(
        [*command, *map(str, arguments)], cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            wait_until_ready(client)
        yield Process(process, f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.communicate()
