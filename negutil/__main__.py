"""``python -m negutil`` is the command ``negutil``."""

from negutil.cli import main

main()
