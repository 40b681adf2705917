"""What is done to a gallery beside a service or without one: verify, repair, back up, export, import."""
