"""Losses of windows: one per file, each with a line in `config/registry.py`."""
