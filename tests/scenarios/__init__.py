"""Scenarios as runbooks, with the results that a replay must show."""
