"""Use cases: linear async code that awaits ports only."""
