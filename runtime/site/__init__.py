"""A clinic's own threshold: its labelled cases, what each threshold would do there, and the approved record.

Owns the table and the page of ``calibrate-site`` and the record in the state folder. May import ``tables``, ``bundle``,
``files`` and ``machine``. Hands on ``localised``: the bundle as this device decides with it.
"""
