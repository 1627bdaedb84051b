"""What operations do to tables and columns."""
