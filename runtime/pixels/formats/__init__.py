"""The formats of images, one file each: what a header says, what the structure allows, and what decoding will cost.

May import errors and the limits of decoding. Hands on: checked headers, and the strict pixels of a plain TIFF.
"""
