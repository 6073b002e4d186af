"""Rank the losses that a territory would not survive."""
