"""Show and decide incidents and reports."""
