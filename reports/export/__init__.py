"""A run for somebody else: its archive and what the columns mean."""
