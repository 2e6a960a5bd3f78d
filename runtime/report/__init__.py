"""What a run took and why: facts as JSON, and one page for people.

Owns the diagnosis, the page and its charts. May import ``running`` and what lies below. Hands on files; nothing reads
them back.
"""
