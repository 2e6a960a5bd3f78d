"""``evaluate`` and ``crossval``: from a run or a recipe to its report.

May import every other folder of this room. Hands on report folders and the exit code's reasons.
"""
