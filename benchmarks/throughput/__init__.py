"""How much CPU a sample costs, end to end on a real broker, against the floors of the parts that cannot be avoided."""
