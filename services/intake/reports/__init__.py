"""Parse, accept and deduplicate reports."""
