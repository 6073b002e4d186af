"""Reference data and its changes."""
