"""The language model in a stock vLLM beside this service, which is sent images as embeddings."""
