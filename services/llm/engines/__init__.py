"""Engines: from a prompt to generated tokens."""
