"""A continuity plan on paper: its written content as PDF. Rule D83."""
