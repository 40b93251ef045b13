"""The questions: what a study may say, and one TOML file per study."""
