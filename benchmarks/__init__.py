"""Measured speed: every benchmark prints a ratio against the raw part measured in the same run."""
