"""What the pipeline does with more questions than it can answer: ``python -m benchmarks.load``."""
