"""The language model of a checkpoint on its own: as the plain causal language model that other engines load."""
