"""What the command line's commands take, where ``cli`` alone would be too long.

Owns the options of a station's commands, those of every command that runs a model, and the numbers that options are.
May import ``terminal`` and the names of backends. Hands on functions that add options to a parser.
"""
