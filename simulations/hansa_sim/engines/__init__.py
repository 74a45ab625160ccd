"""What users will feel, in numbers: three engines over one world of plain arrays.

No files, no clock, no command, nothing of the rest of hansa_sim: a scenario becomes arrays elsewhere. How to use it::

    classes = [UserClass("assist", users=rows, rate_rps=400.0, demand=Lognormal(30e6, 0.6), weights=population)]
    run = Run.of(classes, Paths(there_ns, back_ns, allowed), Zones.of(servers, speed_permille), Window(horizon_ns))
    requests = lambda: blocks(classes, seed=1, horizon_ns=horizon_ns)       # the same numbers for every policy
    fixed = static.serve(requests(), zone_of, run)                          # zone_of (U,) int32, NOWHERE = -1
    same = event.serve(requests(), Table(zone_of), run)                     # to the last bit what static says
    other = event.serve(requests(), LeastLatency(mean_demand_ns, stale_ns=2_000_000_000), run, faults)
    fixed.mean_latency_ns(), fixed.latency_percentiles_ns([50, 95, 99, 99.9], of_class=0), fixed.stability

- ``model``: Paths, Zones, UserClass (with Profile for rates that go with the hour, Recorded for traces), Block, Window,
  Outages, Retries, Faults. ``service``: Deterministic, Exponential, Lognormal, Gamma, Empirical.
- ``arrivals.blocks``, ``arrivals.expected_requests``; ``streams.generator``: chance by name.
- ``recorder.Run``: what a run is about. A row of users (U) is a class at an access point; histograms are by class,
  served and mean also by row.
- ``static.serve``: routing fixed; ``event.serve``: routers Table (with fallbacks), LeastLatency, LeastLoaded, outages,
  retries, requests turned away; ``analytic``: closed forms of one zone.
- ``measured.Measured``: the result; asserted against Little's law, and labelled UNSTABLE by zone.
- ``acceleration.Speed``: PLAIN, or COMPILED by numba where ``hansa[sim-fast]`` is installed, which AUTO takes; the same
  to the last bit. The first call on a machine compiles, some ten seconds for each engine, and keeps the outcome on
disk. - ``confidence``: warm-up, intervals of a mean, paired differences of two runs on the same requests.

A request whose row has no open zone is counted as ``unlawful`` where there is a way that law forbids, else as
``unreachable``; one that is open but finds no place as ``failed``. A table that breaks the law is a ValueError.
"""
