"""Compute the hour when a hazard reaches each site, and the work before it. Rule D124."""
