"""Files that matter: written whole or not at all, read only where they are ours and measured first, damage found.

May import errors. Hands on: atomic writing, reading of files that decide something, and what a device keeps.
"""
