"""A run: the session, the runner, and what they record."""
