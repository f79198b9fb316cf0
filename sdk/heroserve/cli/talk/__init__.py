"""`heroserve chat`'s parts: what was said, how lines are read, what begins with a slash, and a turn."""
