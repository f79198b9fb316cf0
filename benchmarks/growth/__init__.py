"""What a request costs as tiles, images in flight, questions and replicas grow: ``python -m benchmarks.growth``."""
