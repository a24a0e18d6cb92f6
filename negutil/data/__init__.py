"""One module per published on-disk format: read it, check it, say clearly what is wrong with it."""
