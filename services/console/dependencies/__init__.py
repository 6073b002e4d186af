"""Show the effect of losing a resource. Rule D130."""
