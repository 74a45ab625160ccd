"""What users feel: a scenario file becomes a world of the production domain, in which policies are compared."""
