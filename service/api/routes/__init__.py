"""The routes, a module for each thing that is asked for: thin, from a request to one call and its answer."""
