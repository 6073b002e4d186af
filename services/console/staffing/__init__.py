"""Show the functions of the crisis cell, filled, coming and missing. Rule D90."""
