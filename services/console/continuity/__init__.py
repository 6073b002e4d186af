"""Activities, clocks and continuity plans."""
