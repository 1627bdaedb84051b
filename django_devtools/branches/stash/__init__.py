"""Data that a switch would drop, kept until it can come back."""
