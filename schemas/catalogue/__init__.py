"""Tables of kinds from which others derive: one row per kind."""
