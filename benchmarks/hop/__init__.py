"""What a question about a known image costs, against an echo of the same bytes behind the same Ray Serve."""
