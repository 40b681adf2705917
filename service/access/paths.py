"""Names in paths arrive whole, whatever characters they hold, and are checked as such.

Starlette's `path` leaves line breaks out: a route would not be found by such a name or, where it ends with a
line break, be given another name, without it.
"""

from __future__ import annotations

from starlette.convertors import PathConvertor, register_url_convertor


class NameConvertor(PathConvertor):
    """Any text, slashes and line breaks too."""

    regex = "(?s:.*)"


# For all paths that are compiled from now on; rules and routers import this first.
register_url_convertor("path", NameConvertor())
