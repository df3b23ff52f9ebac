"""A look into stored state, while a worker may be at work: what there is, how old, how large, whole or damaged."""
