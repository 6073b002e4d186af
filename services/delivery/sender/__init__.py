"""Claim attempts and hand them to providers."""
