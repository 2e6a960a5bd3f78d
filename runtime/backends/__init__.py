"""Inference backends behind one seam: load, infer, close. Each imports its library only when it is loaded.

Owns the choice of a backend and the self-test that it has to pass. May import ``bundle``, ``pixels``, ``machine`` and
what lies below. Hands on ``Backend``.
"""
