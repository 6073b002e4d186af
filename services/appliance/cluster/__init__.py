"""A cluster of machines, each with a broker, a controller and every service of its own."""
