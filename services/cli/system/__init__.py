"""Commands to run and watch the system."""
