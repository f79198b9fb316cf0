"""What a checkpoint takes of a GPU, and what a budget saves of it: reckoned from its config alone."""
