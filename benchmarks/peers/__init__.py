"""Other detectors on the same series, in the same run, by the same rules."""
