"""A bundle fine-tuned on one's own cameras: plan, both stages, thresholds, comparison with the start."""
