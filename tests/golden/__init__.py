"""Logs of earlier releases with the hash of their fold.

Every later release must fold them to the same.
"""
