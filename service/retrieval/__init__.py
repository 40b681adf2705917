"""The two-stage search, enrollment and explanations over an embedder and a gallery."""
