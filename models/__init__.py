"""What is learned: the four-branch network, the strip re-ranker, and the bundles they ship in.

`decoding`, `preprocessing`, `bundle` and `runtime` import no torch: they are all that serving needs.
"""
