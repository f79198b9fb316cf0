"""The LLM service: a question and an image's visual tokens in, an answer out. It holds no vision tower."""
