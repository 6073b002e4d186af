"""Programs that speak a dialect of their own (INTAKE.md): one small module per dialect turns a request into signals, the rest is shared."""
