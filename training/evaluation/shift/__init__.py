"""Measuring before cameras that nothing was trained on: virtual cameras, degraded images, other data sets."""
