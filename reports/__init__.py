"""The answers: tables, figures and a report a person can read, from a ledger alone."""
