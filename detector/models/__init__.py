"""The forecaster: a bank of online naive forecasts, and a recurrent network that weighs them.

Way of a sample: `naive` (bank, normaliser) -> `features` -> `backbone` (recurrent cell, weights over the bank) ->
`forecaster` (the stored forecast, and which forecaster earned it).
"""
