"""The project's Markdown files, and what is code in them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*.md")])
FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^ {4,}\S.*\n?)+", re.MULTILINE)
INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")


def code(text: str) -> list[str]:
    """Code blocks (a line each, continuations joined) and inline code of a page."""
    blocks = [block for _, block in FENCED.findall(text)]
    prose = FENCED.sub("\n", text)
    blocks += INDENTED.findall(prose)
    inline = [" ".join(span.split()) for span in INLINE.findall(INDENTED.sub("\n", prose))]
    return [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()] + inline


def commands(text: str, start: str) -> list[list[str]]:
    """The words of each command in a page's code that begins with `start`, without it.

    Comments, pipes and what follows `&&` or `;` are cut off.
    """
    found = []
    for line in code(text):
        for part in re.split(r"&&|;|\||\s#", line):
            _, begins, rest = f" {part}".partition(f" {start} ")
            if begins:
                found.append(shlex.split(rest))
    return found
