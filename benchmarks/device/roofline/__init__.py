"""How far every stage is from what this machine could do at best.

May import ``compare``, ``contenders``, ``machine`` and ``runtime``. Hands on peaks, costs and shares.
"""
