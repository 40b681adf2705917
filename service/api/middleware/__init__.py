"""What stands around every route: request ids and logs, admission of uploads, headers, access."""
