"""What stands around every route: request ids and logs, bounds of uploads, headers, access."""
