"""The whole answer, from a picture to its last token: by transformers, by a stock vLLM, and by ours on each engine."""
