"""What is compared with what, each one command."""
