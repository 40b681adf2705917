"""What is learned: the four-branch network, the strip re-ranker, and the bundles they ship in.

`decoding`, `intake` (which images a folder or a CSV manifest names), `preprocessing`, `bundle` and `runtime`
import no torch: they are all that serving needs.
"""
