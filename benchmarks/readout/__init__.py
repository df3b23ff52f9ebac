"""What a read-out correction of its own would bring each stream."""
