"""Pretraining of the mini world's models: MiniCLIP, MiniSD, MiniCLIPSeg and the judge."""
