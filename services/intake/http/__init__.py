"""HTTP exchanges, connections and the proxy to the console."""
