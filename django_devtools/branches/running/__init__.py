"""Runs migrations so that they can be interrupted anywhere."""
