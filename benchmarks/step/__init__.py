"""The parts of `benchmarks.training_step`: sizes, what is measured, and how."""
