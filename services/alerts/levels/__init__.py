"""Evaluate levels and plan triggers."""
