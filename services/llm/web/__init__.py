"""Images that a request names by their address: which hosts may be asked for them, and asking."""
