"""Which version this is."""

from importlib.metadata import PackageNotFoundError, version


def _installed() -> str:
    try:
        return version("lka-reid")
    except PackageNotFoundError:
        return "0+source"


VERSION = _installed()
