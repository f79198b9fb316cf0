"""The dashboards as pictures, from a load that was recorded: ``python -m benchmarks.boards``."""
