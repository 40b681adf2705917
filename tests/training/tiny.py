"""The configuration of an embedder that trains in seconds on the images of `write_tree`."""

from __future__ import annotations

EMBEDDER = """
name: tiny
data: {validation_vehicles: 4}
network: {width: 4, depth: [1, 1, 1, 1], image_size: [32, 32], strips: 2, strip_width: 16}
batch: {vehicles: 4, images: 2, epoch: vehicles}
schedule: {epochs: 2, warm_up: 1, freeze: 0}
losses: {strips: 1.0}
run: {device: cpu, precision: fp32, workers: 0}
evaluation: {every: 0, hardest: 0}
bundle: {export: false}
"""
