"""Show the attention queue and the screens of the crisis cell."""
