"""The project's own tools; the Makefile calls them."""
