"""An explanation of a match as people read it: a picture, and a few words."""
