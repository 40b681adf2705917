"""The training of an embedder: its losses, optimiser, trainer and experiment."""
