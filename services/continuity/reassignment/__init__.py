"""Propose, approve and track reassignments of staff."""
