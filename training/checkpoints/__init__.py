"""Weights and training states on disk: published, finished, and to go on from."""
