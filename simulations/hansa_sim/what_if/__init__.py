"""What if: the world of an operator, or of a scenario, with something cut, failed, drained, agreed or demanded."""
