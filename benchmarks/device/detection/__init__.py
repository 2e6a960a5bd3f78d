"""Does the quality gate see an image that cannot be answered, and let a good one through?

Owns the catalogue of faults and of wrong subjects. May import ``runtime`` (its optics). Hands on rates.
"""
