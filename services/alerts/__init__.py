"""Decides what reports mean: claims, site status, incidents, predicates, ladders (DESIGN §2)."""
