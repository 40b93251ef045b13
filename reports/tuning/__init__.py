"""What a tuned study says: evidence, effects, answer, figures, tables."""
