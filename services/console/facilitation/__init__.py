"""Facilitate an exercise: its stimuli, notes of observers, and the evaluation sheet."""
