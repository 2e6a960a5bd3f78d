"""``pretrain``: starting weights from generated images, which are nobody's: formula-driven supervised learning.

May import everything up to ``checkpoint``. Hands on a file of weights for ``fit --weights FILE``, with a record of how
it was made in it; nothing else here reads that record.
"""
