"""Where images come from: files, folders, lists, videos, cameras.

Owns the one walk over all inputs. May import ``prediction`` (its notices), ``pixels`` and what lies below. Hands on one
item per image, in order, with the faults of its source as notices.
"""
