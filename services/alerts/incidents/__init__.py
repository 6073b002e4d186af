"""Correlate causes into incidents and watch their zones."""
