"""Manage login, accounts and devices of people."""
