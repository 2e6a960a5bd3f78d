"""The trainer (host only): data, splits, augmentation, network, fitting, operating point, evaluation.

Imports ``runtime`` (errors, atomic files, the preprocess, the decision) and nothing else of ours. Hands on a run folder
that ``convert`` reads: the resolved configuration, the split, the best checkpoint, curves, the operating point and,
after ``evaluate``, the metrics. ``python -m train --help`` lists the commands; ``docs/training.md`` explains them.
"""
