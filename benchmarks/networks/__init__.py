"""Networks for a comparison, made on a host: a throwaway bundle, and a bundle's network as torchvision's.

May import the kit's rooms and the host's libraries. Hands on files.
"""
