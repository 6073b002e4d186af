"""Receive reports, judge them and store their facts."""
