"""The page: templates, static files and translations, all from this folder; nothing comes from the internet.

May import ``serving``, ``records`` and the station's own parts. Hands on a router with the page's addresses.
"""
