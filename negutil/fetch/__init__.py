"""Published data and weights: which there are, getting them, and checking what is there."""
