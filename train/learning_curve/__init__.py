"""``curve``: what a recipe reaches with so many images, and what more of them would bring.

Owns the draws, their fits one after the other, the law that is fitted to them, and the figure. May import ``fitting``
and everything below it. Hands on a folder with ``curve.json`` and ``curve.png``; nothing else here reads them.
"""
