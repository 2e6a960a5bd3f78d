"""The audit log: rows chained by an HMAC, so that a changed, missing or added row shows.

Owns the key, the chain and its check; one module for the station and for a device's updates. May import ``errors`` and
``files``. Hands on functions that take the caller's SQLite connection, so that an event and what it tells of are
committed together.
"""
