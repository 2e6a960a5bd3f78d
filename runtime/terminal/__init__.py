"""Where a person and the kit meet on a terminal: the parser that all rooms use, shell completion, the reporter.

Owns how a command line is parsed and dispatched, what a mistyped word is answered with, and the protocol through which
long work reports what it is doing. Imports ``fields`` and ``errors`` and nothing heavy: ``--help`` must answer at once.
Hands on exit codes and lines for people.
"""
