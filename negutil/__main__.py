"""``python -m negutil`` is the command ``negutil``."""

from negutil.commands.cli import main

main()
