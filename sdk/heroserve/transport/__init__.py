"""What moves bytes: connections, their channels, and the two places that make RPCs."""
