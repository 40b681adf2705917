"""From an image to its descriptor and strips: requests, batches and forward passes."""
