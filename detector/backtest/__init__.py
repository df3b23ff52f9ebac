"""What the pipeline would have done on recorded series, held against what was wrong in them."""
