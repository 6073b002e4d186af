"""Simulate crises: scenarios, exercise files, checks and replay."""
