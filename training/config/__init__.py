"""Experiments as typed configurations (`embedder`, `reranker`), their sections, and their YAML files."""
