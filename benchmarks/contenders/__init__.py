"""Who takes part in the comparison. ``catalogue`` names them all; the other modules load one inside its own process."""
