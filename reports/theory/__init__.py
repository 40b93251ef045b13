"""Statements of theory, each beside what a study measured."""
