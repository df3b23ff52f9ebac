"""The forecaster: a bank of online naive forecasts, and a recurrent network that weighs them.

The way of a sample: `naive` (bank, normaliser) -> `features` -> `backbone` (recurrent cell, weights over the bank) ->
`forecaster` (the stored forecast, and which forecaster was chosen for it).
"""
