"""Decide on reports: site status, incidents, levels, triggers and escalations."""
