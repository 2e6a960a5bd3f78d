"""The three forms that data comes in: a CSV table, a folder per class, a MedMNIST-style ``.npz``.

May import ``data.samples`` and ``data.labels``. Hands on samples with all faults of the data at once.
"""
