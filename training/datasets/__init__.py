"""Data sets: `readers` has one for each layout, `layouts.open_dataset` reads any of them as a `Dataset`.

`check` finds what is wrong with one; `split` and `folds` part its vehicles.
"""
