"""Tools of the developers: generated documentation and checks of the house style."""
