"""The study of the second stage: which strips, which training, against which baselines.

Vehicles are nested: a cell's test vehicles are seen by nothing that is trained or chosen in it.
"""
