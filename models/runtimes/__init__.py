"""The ways to run a bundle's embedder, a module each: ONNX Runtime, OpenVINO, torch; `choice` picks one.

Each gives a `Forward`: images float32 `[B, 3, H, W]` to descriptors `[B, d]` and, where there are, strips.
"""
