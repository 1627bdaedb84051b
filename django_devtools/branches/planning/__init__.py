"""Compares a database with its target and decides what to do. Changes neither."""
