"""Check linearizability: one object, used by one caller at a time, explains the history."""
