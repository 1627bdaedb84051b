"""Data that a switch drops, saved until it can be restored."""
