"""Sites, the map, the overview and sources."""
