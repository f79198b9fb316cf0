"""Weights of a checkpoint: their files, what those say of themselves, and models made of them."""
