"""One scenario under many settings: a grid of points, played by many processes, kept in a journal."""
