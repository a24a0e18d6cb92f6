"""One module per task; every one returns per-item scores."""
