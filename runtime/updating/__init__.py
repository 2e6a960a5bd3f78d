"""A device's bundles: installed beside each other, switched in one step, and switched back when anything fails.

Owns the folders of versions, the link ``current``, the marker of an update that is not finished, and the record of what
happened. May import ``bundle``, ``files`` and what lies below. Hands on ``Updater`` and ``recover``: whatever ends the
device's side of an update, the next start finds one whole version.
"""
