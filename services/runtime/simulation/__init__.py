"""Drive simulated realms from the logs."""
