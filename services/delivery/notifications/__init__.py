"""Plan and track the attempts of one notification."""
