"""Show the logbook (main courante): lines, notes, sentences and erasures."""
