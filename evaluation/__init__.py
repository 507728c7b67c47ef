"""eval.py as a program: finished runs, and encoders of other programs, scored on any dataset."""
