"""Streaming anomaly detection on metrics: Kafka in, an LSTM forecast per stream, alerts and Prometheus metrics out."""

__version__ = "0.1.0"
