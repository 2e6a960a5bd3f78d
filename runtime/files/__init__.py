"""Files that matter: written whole or not at all, read only where they are ours and measured first, damage found.

May import errors and fields. Hands on: atomic writing, reading of files that decide something, the reader of records,
and what a device keeps.
"""
