"""A gallery on this machine: database and vector index as one, and what is done to it in the background."""
