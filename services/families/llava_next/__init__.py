"""LLaVA-NeXT (llava-hf/llava-v1.6-*): a CLIP tower, "anyres" tiles, and a newline token after each row of patches."""
