"""Provide the shell around every page: access, navigation, rendering and routes."""
