"""Show the holders of each role now, and the partners of the département. Rule D89."""
