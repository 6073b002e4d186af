"""Keys, encrypted storage, signatures, erasure and retention."""
