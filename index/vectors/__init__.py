"""The vector index of a gallery: its kinds, how it is made, searched, kept as a snapshot and recovered."""
