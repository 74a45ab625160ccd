"""Values that keep their hash keep it to themselves."""

from __future__ import annotations

import copy
import pickle
from dataclasses import fields, replace

from hansa_control.domain.canonical import canonical
from hansa_control.domain.policy import ResidencyPolicy, TransitRule

NORDIC = frozenset({"NO", "SE"})


def test_equal_values_have_equal_hashes_whichever_was_looked_up_before() -> None:
    looked_up, fresh = TransitRule(NORDIC), TransitRule(NORDIC)
    assert {looked_up: 1}[fresh] == 1
    assert len({looked_up, fresh, TransitRule(NORDIC, frozenset({"carrier"}))}) == 2


def test_a_kept_hash_shows_nowhere_else() -> None:
    looked_up, fresh = ResidencyPolicy(transit=TransitRule(NORDIC)), ResidencyPolicy(transit=TransitRule(NORDIC))
    hash(looked_up)
    assert looked_up == fresh
    assert (repr(looked_up), canonical(looked_up)) == (repr(fresh), canonical(fresh))
    assert "_hash" not in {field.name for field in fields(looked_up)}


def test_a_value_that_was_copied_changed_or_read_back_works_out_its_own_hash() -> None:
    known = TransitRule(NORDIC)
    hash(known)
    for other in (copy.copy(known), pickle.loads(pickle.dumps(known)), replace(known, encryption_required=True)):
        assert not hasattr(other, "_hash")
    assert hash(replace(known, encryption_required=True)) == hash(TransitRule(NORDIC, encryption_required=True))
