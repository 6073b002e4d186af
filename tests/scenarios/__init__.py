"""Scenarios as runbooks: what a replay must show."""
