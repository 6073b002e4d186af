"""Exercises and what-if runs: scenarios, exercise files, checks and replay."""
