"""After a run: checking, cleaning, syncing, exporting."""
