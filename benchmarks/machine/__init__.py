"""The machine: its processor, disk, locks, databases and signals."""
