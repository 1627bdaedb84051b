"""What a switch has to do. No database is touched here."""
