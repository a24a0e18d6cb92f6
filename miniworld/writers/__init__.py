"""One module per published format that the mini world is written in; ``miniworld.build`` has the list.

Every module has ``write(folder, sizes, seed) -> dict``: it fills the empty folder with the files of the format, laid
out and named as the published dataset is, and returns facts for the manifest. The same arguments give the same bytes.
"""
