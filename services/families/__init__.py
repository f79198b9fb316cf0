"""Model families, a room each: how images are cut and spliced, and which weights are whose."""
