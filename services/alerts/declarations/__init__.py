"""Apply what authorities and operators declare."""
