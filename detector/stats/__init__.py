"""Running statistics, vectorised over streams: `update` writes, everything else reads."""
