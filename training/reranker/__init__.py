"""The training of a re-ranker: its candidate lists, strips' head, trainer and experiment."""
