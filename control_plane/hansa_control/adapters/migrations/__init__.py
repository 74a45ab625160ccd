"""The schema of the SQL stores, step by step, forward only; ``store_migrations`` runs them."""
