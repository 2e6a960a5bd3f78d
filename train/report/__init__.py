"""The report of an evaluation: what it says, and the page that shows it.

May import ``scoring`` and what lies below. Hands on ``report.json`` and a page drawn from it alone.
"""
