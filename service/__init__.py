"""What is served: the HTTP interface, the batcher behind it, and the `lka-reid` command.

A request is one straight call chain: route -> `TwoStageSearch` -> batcher -> gallery -> re-ranker -> answer.
Nothing in here imports torch: models come as bundles, through the torch-free parts of `models`.
"""
