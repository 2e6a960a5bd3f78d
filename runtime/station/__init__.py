"""The screening station: the clinic's page, its REST service and its records.

Owns the web service, the thread that owns the model, the camera's preview and the SQLite records. May import what lies
below ``commands`` in runtime; nothing imports it: the command line loads it by name, behind the extra ``station``.
Hands on a page, JSON, CSV and backups.
"""
