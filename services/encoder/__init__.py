"""The encoder service: an image and a question in, the visual tokens worth keeping out. It holds no language model."""
