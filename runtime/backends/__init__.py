"""Inference backends behind one seam: load, infer, close. Each imports its library only when it is loaded."""
