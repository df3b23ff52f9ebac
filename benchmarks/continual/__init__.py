"""What learning on would bring the shared network when streams change."""
