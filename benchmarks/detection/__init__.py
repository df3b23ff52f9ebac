"""How well the detector finds labelled anomalies: scorers and a runner; tables in docs/detection.md."""
