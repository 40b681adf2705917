"""Experiments as typed configurations, and their YAML files."""
