"""Apply decisions of people about plans, activities and reassignments."""
