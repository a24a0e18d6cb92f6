"""Model registry and loader, encoding, MiniCLIP configurations and weights."""
