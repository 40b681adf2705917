"""The client of a running service, and enrolling many images with it."""
