"""What is known of cameras, as numbers: sums of descriptors, estimates from them, and taking them out."""
