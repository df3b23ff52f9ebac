"""Backtest: the alerts that recorded series would have raised, compared with their known anomalies."""
