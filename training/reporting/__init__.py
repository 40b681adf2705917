"""What a run shows: terminal, plots, TensorBoard and provenance."""
