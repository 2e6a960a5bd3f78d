"""The machine under the model: its parts, its sensors, its OpenCV.

Owns what is read from the kernel's files and from installed packages. Imports nothing of ours. Hands on the conditions
of a measurement and one reading of the sensors a second.
"""
