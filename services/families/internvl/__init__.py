"""InternVL in Hugging Face's form: tiles of any grid, then a thumbnail, and a token of 2 x 2 patches."""
