"""Estimate the probability that limits of activities break. Rule D132."""
