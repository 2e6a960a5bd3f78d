"""Results as images: the heat map overlay, and the live view in a window or a browser.

May import ``output``, the classifier and what lies below. Hands on annotated images; it decides nothing.
"""
