"""The ``hansa`` command."""
