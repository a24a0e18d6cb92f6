"""negutil: the thin package under the notebooks of "Does CLIP understand no?"."""

__version__ = "0.1.0"
