"""How models come to be: data, augmentation, losses, trainers, evaluation and export to a bundle.

Nothing here is imported by serving.
"""
