"""Figures: one module per notebook, in one style."""
