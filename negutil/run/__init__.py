"""Running the notebooks, and comparing a run with the committed results."""
