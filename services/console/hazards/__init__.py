"""Compute the hour at which a hazard reaches each site, and the work before it. Rule D124."""
