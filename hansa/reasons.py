"""What every reason means and what to do about it, for people. The meanings are those of reason.proto."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Explanation(NamedTuple):
    """A reason in words."""

    meaning: str
    advice: str


EXPLANATIONS: Mapping[str, Explanation] = MappingProxyType(
    {
        "SITE_COUNTRY_DENIED": Explanation(
            "The site stands in a country that the policy does not allow.",
            "Add the country to residency.data, or wait for a zone in an allowed country.",
        ),
        "SITE_COUNTRY_UNKNOWN": Explanation(
            "No fact says in which country the site stands.",
            "The zone's owner must state the site's country, with evidence.",
        ),
        "LEGAL_CONTROL_DENIED": Explanation(
            "The owner is controlled from a country, or reached by a law, that the policy does not allow.",
            "Add the country to residency.control or take the law out of deny_laws, if your lawyers agree.",
        ),
        "LEGAL_CONTROL_UNKNOWN": Explanation(
            "No fact says who controls the owner or which laws reach it.",
            "The zone's owner must state headquarters, parents and the laws that reach it, with evidence.",
        ),
        "FACT_EXPIRED": Explanation(
            "The evidence of a fact that the policy needs is no longer, or not yet, valid.",
            "The zone's owner must renew the evidence; look at its validity with hansa zones -o wide.",
        ),
        "TRANSIT_DENIED": Explanation(
            "Every path from an access point crosses a country or a carrier that the policy does not allow.",
            "Add the country to residency.transit, or take the carrier out of deny_carriers.",
        ),
        "TRANSIT_UNKNOWN": Explanation(
            "Every path that is not denied crosses a link whose countries are unknown.",
            "The operator of the link must state which countries it crosses; look with hansa network.",
        ),
        "UNREACHABLE": Explanation(
            "No path at all leads from an access point to the zone.",
            "Check the access point's name, and whether a link is down, with hansa network.",
        ),
        "LATENCY_EXCEEDED": Explanation(
            "The fastest lawful path is slower than the latency budget.",
            "Raise latency.rtt_ms_max or lower the percentile; nearest fix in hansa why-not names the figure.",
        ),
        "GPU_MODEL_MISSING": Explanation(
            "The zone has no accelerator of an acceptable model.",
            "Accept another model in accelerators.any_of.",
        ),
        "GPU_MEMORY_TOO_SMALL": Explanation(
            "The zone's accelerators of an acceptable model have too little memory.",
            "Lower accelerators.memory_gib_min, or accept a larger model.",
        ),
        "GPU_EXHAUSTED": Explanation(
            "The zone has too few free accelerators.",
            "Ask for fewer devices, or wait until some are free.",
        ),
        "CPU_EXHAUSTED": Explanation(
            "The zone has too little free CPU.",
            "Ask for less in resources.cpu, or wait until some is free.",
        ),
        "MEMORY_EXHAUSTED": Explanation(
            "The zone has too little free memory.",
            "Ask for less in resources.memory, or wait until some is free.",
        ),
        "ARTEFACT_NOT_ALLOWED": Explanation(
            "The zone's owner has not allowed the artefact by name and digest.",
            "Ask the zone's owner to allow the artefact by this name and digest.",
        ),
        "ZONE_CORDONED": Explanation(
            "The zone takes no new workloads.",
            "Wait until the zone's owner opens it again.",
        ),
        "ZONE_LOST": Explanation(
            "The zone's agent is not heard.",
            "Wait for the zone's agent to come back; it does so by itself.",
        ),
        "OFFER_STALE": Explanation(
            "The partner's offer has outlived its time to live.",
            "Wait for the partner to be heard again.",
        ),
        "ACCESS_POINT_UNKNOWN": Explanation(
            "The access point is not in the network that this operator sees.",
            "Use a name that hansa network -o wide lists as an access point.",
        ),
        "NOT_EVALUATED": Explanation(
            "A constraint was not evaluated, because an earlier one made it meaningless.",
            "Mend the earlier constraint of the same zone first.",
        ),
        "LOCATION_IMPLAUSIBLE": Explanation(
            "A measured round trip is shorter than light in fibre needs to the location that the zone claims.",
            "The zone's owner must correct the zone's node or its coordinates; look at the probe with hansa network.",
        ),
        "PERSONNEL_DENIED": Explanation(
            "The zone is run or supported from a country that is not allowed, or by people without the clearance.",
            "Add the country to residency.personnel, or wait for a zone that is run from an allowed country.",
        ),
        "PERSONNEL_UNKNOWN": Explanation(
            "No fact says from where the zone is operated or supported.",
            "The zone's owner must state from where it operates and supports the zone, with evidence.",
        ),
        "ATTESTATION_MISSING": Explanation(
            "No valid fact attests an execution environment that the policy asks for.",
            "The zone's owner must prove the technology, or the policy accept another in residency.attestation.",
        ),
        "CERTIFICATION_MISSING": Explanation(
            "The zone has no valid certificate of a scheme, version and level that the policy asks for.",
            "The zone's owner must state the certificate with evidence, or residency.certification accept another.",
        ),
        "ENERGY_DENIED": Explanation(
            "The zone's energy is more carbon-intensive, or less renewable, than the policy allows.",
            "Raise carbon_gco2_per_kwh_max or lower renewable_percent_min in residency.energy.",
        ),
        "ENERGY_UNKNOWN": Explanation(
            "No fact says where the zone's energy comes from.",
            "The zone's owner must state carbon intensity and renewable share, with evidence.",
        ),
        "PREDICATE_FALSE": Explanation(
            "A predicate of the policy is false of the zone.",
            "Change the expression in residency.predicates; hansa zones -o json shows the attributes that it reads.",
        ),
        "PREDICATE_FAILED": Explanation(
            "A predicate of the policy could not be evaluated for the zone.",
            "Correct the expression; an attribute may be missing for this zone, guard it with has(...).",
        ),
        "PRICE_EXCEEDED": Explanation(
            "The zone costs more than the request allows.",
            "Raise price_eur_per_hour_max.",
        ),
        "UNSTABLE": Explanation(
            "The zone's replicas would be offered more work than they can do; the queue would grow without end.",
            "Ask for more replicas, or lower the demand; the needed number stands in the rejection.",
        ),
        "SERVICE_TIME_UNKNOWN": Explanation(
            "The request gives no service time for any accelerator of the zone.",
            "Add a service time for one of the zone's accelerators to service.times.",
        ),
        "BANDWIDTH_EXCEEDED": Explanation(
            "Every lawful path has a link that carries less than the traffic needs.",
            "Lower the demand or the request size, or spread the users over more zones.",
        ),
        "SPREAD_UNMET": Explanation(
            "No set of zones spreads the replicas as the request asks.",
            "Ask for fewer domains in spread, or widen the constraints that refuse the other zones.",
        ),
        "ZONE_MAINTENANCE": Explanation(
            "The zone's owner has announced maintenance, which a new workload would run into.",
            "Wait until the maintenance is over; the rejection says when that is.",
        ),
        "ZONE_DRAINING": Explanation(
            "The zone's owner is emptying the zone.",
            "Wait until the zone's owner opens it again.",
        ),
        "ZONE_UNSTEADY": Explanation(
            "The zone or its operator has come and gone repeatedly and is held down for a while.",
            "Wait until it has been there for the time that the rejection names; each return makes it longer.",
        ),
        "HOLD_EXPIRED": Explanation(
            "The hold's lease ran out before it was confirmed.",
            "Nothing to do: the operator holds capacity again.",
        ),
        "OWNER_REFUSED": Explanation(
            "The zone's owner refused for a reason of its own.",
            "Ask the zone's owner; the message says what it said.",
        ),
        "QUOTA_EXCEEDED": Explanation(
            "The agreement's quota is used up.",
            "Ask your operator to widen its agreement with the partner.",
        ),
        "FENCED": Explanation(
            "A newer holder exists; the older one is refused.",
            "Nothing to do: a newer placement has taken over.",
        ),
        "FEDERATION_INACTIVE": Explanation(
            "No federation is active with this partner.",
            "Your operator must renew the federation with this partner.",
        ),
        "NO_FEASIBLE_ZONE": Explanation(
            "No zone satisfies every constraint.",
            "hansa why-not shows every failing constraint and the nearest fix.",
        ),
        "PARTNER_UNREACHABLE": Explanation(
            "The partner could not be reached in time.",
            "Try again later; the operator goes on trying by itself.",
        ),
        "INSTANCE_FAILED": Explanation(
            "The instance did not become ready, or failed too often.",
            "Look at the message and at the zone's log; the artefact may not start there.",
        ),
        "WORKLOAD_DELETED": Explanation(
            "The app team deleted the workload; its capacity is given back.",
            "Nothing to do.",
        ),
        "WORKLOAD_MOVED": Explanation(
            "The workload runs elsewhere now, or never started here; its capacity is given back.",
            "Nothing to do: hansa why shows where it runs now.",
        ),
        "GRANT_INVALID": Explanation(
            "The owner's grant does not prove what was asked: a field differs, or its signature does not verify.",
            "Ask the zone's owner which certificate signs its grants; what it held is given back.",
        ),
        "ORIGIN_DENIED": Explanation(
            "The owner of a zone does not let the operator that offers it on hold it for this home operator.",
            "Ask the operator that offers the zone on to have it permitted, or have an agreement with the owner.",
        ),
        "AGREEMENT_SUSPENDED": Explanation(
            "The agreement with the zone's owner is suspended or not in force yet: nothing new, what runs goes on.",
            "Wait until the owner resumes it, or let zones of others do; your operator's hansa partners shows it.",
        ),
        "AGREEMENT_ENDING": Explanation(
            "The agreement with the zone's owner is ending: nothing new, and what runs there must leave in time.",
            "Nothing: what runs there is moved. If it must stay, ask your operator to renew the agreement.",
        ),
        "AGREEMENT_UNKNOWN": Explanation(
            "It is not known how the agreement with the zone's owner stands.",
            "Wait for the partner to say so; if it never does, its hansa is older than this one.",
        ),
        "ZONE_NOT_OFFERED": Explanation(
            "The agreement with the zone's owner does not offer this zone.",
            "Ask your operator to have the zone added to its agreement with the owner.",
        ),
        "PREEMPTED": Explanation(
            "A workload of a higher priority has taken its place.",
            "It is placed again as soon as there is room; disruption.preemptible: false prevents it.",
        ),
        "INVALID_FIELD": Explanation(
            "A field of the request is malformed.",
            "Correct the field that the error names.",
        ),
        "REQUEST_ID_REUSED": Explanation(
            "The request id was used before with another payload.",
            "Use a fresh request id for a different request.",
        ),
        "NOT_FOUND": Explanation(
            "There is no such resource.",
            "Check the name; hansa get and hansa zones list what there is.",
        ),
        "ALREADY_EXISTS": Explanation(
            "The resource exists with another content.",
            "Use another name, or change the existing resource.",
        ),
        "ETAG_MISMATCH": Explanation(
            "The resource has changed since the etag was read.",
            "Read the resource again and repeat the change on what it is now.",
        ),
        "IDENTITY_MISMATCH": Explanation(
            "The certificate does not name the identity that the message claims.",
            "Use the certificate of the tenant or operator that the message names.",
        ),
        "PERMISSION_DENIED": Explanation(
            "The identity may not do this.",
            "Ask the operator to admit this identity.",
        ),
        "CLOCK_SKEW": Explanation(
            "The two clocks differ by more than is tolerated.",
            "Set the clock (NTP) of the machine that the message names.",
        ),
        "LIMIT_EXCEEDED": Explanation(
            "A limit on size, rate or number was exceeded.",
            "Send less, or less often.",
        ),
        "PROTOCOL_VIOLATION": Explanation(
            "The stream broke its protocol.",
            "Client and server differ in version, or one has a defect; the log names the message.",
        ),
        "UNAVAILABLE": Explanation(
            "The server is stopping or its store has failed; try again later.",
            "Try again later; reading and submitting are safe to repeat.",
        ),
        "INTERNAL": Explanation(
            "A defect of hansa; the log has more under the request id.",
            "Report it with the request id, under which the server's log has more.",
        ),
        "GENERATION_CHANGED": Explanation(
            "The world has moved since the expected generation, and the answer would be another.",
            "Plan again, look at what is different, and submit with the new generation.",
        ),
        "CAPABILITY_MISSING": Explanation(
            "The partner's release lacks something without which nothing of it may be used.",
            "Have the partner upgrade hansa; hansa partners -o json shows what it lacks.",
        ),
        "TENANT_REFUSED": Explanation(
            "Those who keep the zone's machines take no workloads of this tenant.",
            "Ask the zone's owner to take the tenant (refusals.tenants of the zone's agent).",
        ),
        "TENANT_UNKNOWN": Explanation(
            "Those who keep the zone's machines refuse some tenants, and nobody said whose workload it is.",
            "Ask the home operator to upgrade; a zone that is offered on by a third operator cannot be told.",
        ),
        "DATA_REFUSED": Explanation(
            "Those who keep the zone's machines refuse a kind of data that the workload brings.",
            "Leave the data source out, or ask the zone's owner (refusals.data_classes of the zone's agent).",
        ),
        "TIME_REFUSED": Explanation(
            "Those who keep the zone's machines let nothing new start at this time of the week.",
            "Wait until the time that the rejection names is over; what runs is not touched by it.",
        ),
    }
)


def canonical_reason(text: str) -> str:
    """A reason as people type it (latency-exceeded, LatencyExceeded) in the registry's form (LATENCY_EXCEEDED)."""
    words = "".join(f"_{letter}" if letter.isupper() and text != text.upper() else letter for letter in text)
    parts = words.upper().replace("-", "_").split("_")
    return "_".join(part for part in parts if part).removeprefix("REASON_")
