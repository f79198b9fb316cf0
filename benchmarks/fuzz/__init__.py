"""What callers might send, by the thousand: each is answered, in time, and costs nobody else anything."""
