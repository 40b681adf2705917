"""Finding vehicles in frames: boxes, types and scores, and the crops that the embedder is shown.

`vehicle` has the interface; `yolox` is the detector that is shipped, and another one fits beside it.
"""
