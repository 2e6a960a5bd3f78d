"""``fit``: data, split, cache, epochs, best checkpoint, operating point.

Owns the order of a training run, and how an interrupted one goes on. May import ``checkpoint``, ``decide``, ``epoch``
and ``data``. Hands on a finished run folder.
"""
