"""What users feel: a scenario file is read, its world built with the production domain, and policies are compared in it."""
