"""The ways to run a bundle's embedder, a module each: ONNX Runtime, OpenVINO, torch; `choice` picks one.

Each gives a `Forward`: prepared images, uint8 `[B, 3, H, W]`, to descriptors `[B, d]` and, where there are,
strips. Taking mean and std out is its first step: on a GPU there, else here, once for a batch.
"""
