"""Sub-commands of `lka-reid` that look at data and measure bundles, one module each.

What they need is imported when one runs, so that help stays quick.
"""
