"""The commands of `lka-reid`, a module each. They import what they need when they run: help stays quick."""
