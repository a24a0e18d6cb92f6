"""One module per published on-disk format: read it, check it, say clearly what is wrong with it.

Every loader has `load(...) -> datasets.Dataset`, with images as lazily decoded `datasets.Image` paths and
columns described in its docstring, one row for each item of the file. Up to 64 MiB a table stays in memory; above that
it is memory-mapped from the cache. `negutil.data.report(dataset)` says what a loader left out or counted. Missing
images are an error, or their rows are left out; `negutil.data.missing_pictures` decides.

To add a format, write one file here:

1. read with `_reading.json_columns`, `read_csv` or a library, never with eval or pickle;
2. check columns with `unique` for ids, `known` for references;
3. name images as the files write them in the column "file_name";
4. return `_reading.build(source, FEATURES, columns, pictures=folder)`, with the columns' types by `_reading.features`;
5. report every error with `_reading.fail(source, problem, fix)`: one sentence with the file and the fix;
6. add a tests/data/test_data_<name>.py with a tiny file in the format and invalid versions of it.
"""

from negutil.data._reading import Report, missing_pictures, report

__all__ = ["Report", "missing_pictures", "report"]
