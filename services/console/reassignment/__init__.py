"""Reassignment proposals and orders."""
