"""Incidents and reports."""
