"""Pages that need no account: services for the public, and tomorrow's work place for agents."""
