"""Is this machine ready to serve? One line per thing that a station needs.

May import ``backends``, ``bundle`` and what lies below. Hands on checks with the command that fixes what is wrong.
"""
