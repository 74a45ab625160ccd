"""hansa's control plane: one operator's truth, decisions and promises."""
