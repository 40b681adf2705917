"""Data sets: a module for each layout (VeRi-776, VehicleID, VERI-Wild, CSV manifest, folders).

`layouts.open_dataset` reads any of them as a `Dataset`; `check` finds what is wrong with one.
"""
