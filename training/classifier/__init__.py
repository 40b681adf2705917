"""The training of an image classifier: its trainer and its experiment."""
