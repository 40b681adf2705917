"""From files to batches: decoding, augmentation, samplers and loaders."""
