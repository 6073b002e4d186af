"""Official feeds on pages and in the API."""
