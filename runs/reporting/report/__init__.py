"""The report of a run, and of several runs beside each other: HTML files that need nothing else."""
