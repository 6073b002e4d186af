"""Causes, actions, statements, maintenance, resources and rankings of a crisis."""
