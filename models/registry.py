"""Registries: the implementations of one kind by name, each registered by the file that holds it."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pkgutil import iter_modules
from typing import TypeVar

T = TypeVar("T")


class Registry(dict[str, T]):
    """Entries by name.

    Args:
        kind: what an entry is, for messages.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    @property
    def names(self) -> str:
        """The names that there are, for messages and help texts."""
        return ", ".join(self)

    def register(self, name: str, entry: T) -> T:
        """Add an entry.

        Raises:
            ValueError: the name is taken.
        """
        if name in self:
            raise ValueError(f"there is a {self.kind} {name!r} already")
        self[name] = entry
        return entry

    def named(self, name: str) -> T:
        """The entry of a name.

        Raises:
            ValueError: there is none; the message lists those that there are.
        """
        if name not in self:
            raise ValueError(f"unknown {self.kind} {name!r}; there are {self.names}")
        return self[name]

    def import_folder(self, package: str, path: Iterable[str]) -> None:
        """Import every module of a package, each of which registers what it holds."""
        for module in iter_modules(path):
            import_module(f"{package}.{module.name}")
