"""CLIP embeddings of tiles and questions: what makes a tile relevant."""
