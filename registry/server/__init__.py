"""A registry that serves what it is given."""
