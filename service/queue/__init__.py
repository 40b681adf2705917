"""Embedding behind Redis: services put images on a stream, workers on any machine answer them.

`remote` is the service's side, `consumer` and `worker` the other; `scripts` holds what Redis does in one
step, and docs/queue.md shows the protocol in a diagram.
"""
