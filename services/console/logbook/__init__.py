"""The logbook (main courante): lines, notes, sentences and erasures."""
