"""Sending later: results go to the clinic's receiver when there is a line, and stay until it has them.

Owns the package of a result, the tus protocol, the thread that sends, and packages on a stick. May import ``records``
and ``clock``. Hands on the sender and its state.
"""
