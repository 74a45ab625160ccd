"""The agent of one zone: advertises what the zone has, runs what its operator orders, measures the way to others.

It imports the contract (``hansa``) and never the control plane. ``session``, ``admission``, ``reconciliation``,
``stamp_packet`` and ``probe_statistics`` are pure: events in, decisions out; the rest is input and output.
"""
