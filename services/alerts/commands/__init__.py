"""Decisions of people: one module per subject."""
