"""The attention queue and the screens of the crisis cell."""
