"""Error of the one-step forecasts against naive ones, on real series that took no part in training."""
