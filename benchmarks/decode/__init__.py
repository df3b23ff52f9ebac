"""What a sample costs in the decoders, for each shape of record."""
