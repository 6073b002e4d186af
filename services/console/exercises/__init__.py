"""Exercises and simulated realms."""
