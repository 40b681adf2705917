"""Measuring: accuracy of rankings, retrieval by chunks, the data sets' protocols, threshold calibration."""

from training.evaluation.accuracy import Accuracy, accuracy, rank_gallery

__all__ = ["Accuracy", "accuracy", "rank_gallery"]
