"""Looks into stored state, even while workers run: what there is, how old, how large, whole or damaged."""
