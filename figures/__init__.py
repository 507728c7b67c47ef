"""A file per kind of picture; visualization.py says which of them a run gets."""
