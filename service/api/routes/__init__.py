"""The routes, a module for each thing that is asked for: thin, from a request to one call and its answer."""

import service.access.paths  # noqa: F401 - what `path` stands for in the routes
