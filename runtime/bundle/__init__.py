"""A bundle on disk: opened, checked, and understood.

Owns the manifest (contract 1), signatures, the decision that turns logits into an outcome, and the description for
people. May import ``pixels`` and what lies below. Hands on ``Bundle``, whose files are read only after their hashes
match.
"""
