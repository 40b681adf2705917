"""An explanation of a match as people read it: a figure, and a few words."""
