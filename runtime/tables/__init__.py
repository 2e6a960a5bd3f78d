"""Tables that people wrote: read strictly, with every fault named by its line, and the files that their cells mean.

Owns CSV rows, encodings, what counts as an empty cell, and the way from a cell to an image file; training, the
benchmarks and a device read tables here. May import ``sources`` (the walker), ``files`` and ``errors``. Hands on
:class:`~fieldlens.runtime.tables.csv_rows.Table`, ``ImageIndex`` and ``Problem``.
"""
