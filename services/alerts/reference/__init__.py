"""Hold the reference data in force."""
