"""How long the host's steps take: training against plain loops, and conversion.

May import ``compare`` (its processes) and ``machine``. Hands on images a second and seconds a step.
"""
