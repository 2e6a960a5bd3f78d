"""Cameras that stay fresh and alive.

Owns camera addresses, the process that reads a camera and may be killed, MJPEG over HTTP, and the watch over all of
them. May import ``prediction``, ``pixels`` and what lies below. Hands on the newest frame and notices of faults.
"""
