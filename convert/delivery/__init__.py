"""From the engineer's laptop to a device and back: keys, sticks, and everything that goes over SSH.

Owns what runs on the host of an update; the device's side is ``runtime/updating``. May import runtime and the
``convert`` modules that make partial copies and signatures, and no host library: a laptop with the device's
requirements is enough. Hands on the commands ``fieldlens keys`` and ``fieldlens deploy``.
"""
