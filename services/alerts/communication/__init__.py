"""Statements, and questions of the press, families and elected people."""
