"""The REST service, one file for each subject; every route says who may call it.

May import ``serving``, ``records`` and the station's own parts. Hands on routers.
"""
