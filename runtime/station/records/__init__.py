"""The station's records: results, reviews, notices and image files, in SQLite and a folder beside it.

May import ``audit``, ``errors`` and ``files`` of runtime, and nothing of the web service. Hands on rows as
frozen dataclasses.
"""
