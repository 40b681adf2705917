"""Measuring: rankings and results, metrics, the data sets' protocols, significance, threshold calibration."""
