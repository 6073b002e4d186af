"""Deliver notifications: choose person, channel and attempt, and record outcomes and answers."""
