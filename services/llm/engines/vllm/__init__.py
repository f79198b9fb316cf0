"""vLLM underneath: many requests at once, over the language model alone."""
