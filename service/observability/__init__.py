"""Metrics, logs, and what the GPUs report."""
