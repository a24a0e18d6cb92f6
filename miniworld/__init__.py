"""The mini world: draws, describes and writes datasets in the published formats."""
