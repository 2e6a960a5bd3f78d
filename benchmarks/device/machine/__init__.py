"""The conditions of a figure, and whether the machine was quiet enough to believe it.

May import ``runtime``. Hands on witnesses and conditions.
"""
