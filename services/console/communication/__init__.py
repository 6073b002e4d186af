"""Statements, questions, and the territory's templates of statements."""
