"""What one study says: evidence, effects, answer, tables."""
