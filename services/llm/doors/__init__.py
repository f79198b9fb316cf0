"""Doors: each takes requests in one protocol, makes jobs of them, and answers in its own words."""
