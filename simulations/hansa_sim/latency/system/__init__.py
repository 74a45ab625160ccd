"""The system engine: the production control planes and agents of a scenario's operators, on the virtual clock."""
