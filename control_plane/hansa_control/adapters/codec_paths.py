"""Paths that users take, link by link, on the wire; outward only."""

from __future__ import annotations

from hansa.v1 import workload_service_pb2 as service_pb2
from hansa_control.domain.segments import Segment, UsedPath


def path_out(path: UsedPath) -> service_pb2.UsedPath:
    return service_pb2.UsedPath(
        zone=str(path.zone),
        access_point=path.access_point,
        segments=[_segment_out(segment) for segment in path.there],
        return_segments=[_segment_out(segment) for segment in path.back],
    )


def _segment_out(segment: Segment) -> service_pb2.PathSegment:
    return service_pb2.PathSegment(
        from_node=segment.start,
        to_node=segment.end,
        link=segment.link,
        carrier=segment.carrier,
        countries=segment.countries,
        countries_unknown=not segment.is_known,
    )
