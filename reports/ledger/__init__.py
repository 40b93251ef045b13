"""Reading what runs left: the ledger, its tables, histories and verdicts."""
