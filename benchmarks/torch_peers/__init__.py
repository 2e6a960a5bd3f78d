"""Contenders that run torch. The catalogue in ``device/contenders`` names them; a worker loads one by that name.

May import ``device`` and the host's libraries. Hands on ``load(job)`` of each contender.
"""
