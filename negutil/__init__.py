"""negutil: the thin package under the notebooks of "Does CLIP understand no?"."""

import warnings

__version__ = "0.1.0"

# Progress shows in the terminal, so a notebook need not warn that Jupyter's widgets are missing.
warnings.filterwarnings("ignore", message="IProgress not found")
