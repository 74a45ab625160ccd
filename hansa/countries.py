"""ISO 3166-1 alpha-2: the officially assigned codes, so that a wrong country is found before it is sent."""

from __future__ import annotations

# https://www.iso.org/iso-3166-country-codes.html, officially assigned codes.
COUNTRIES: frozenset[str] = frozenset(
    """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ
    CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR
    GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO
    JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR
    MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO
    RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV
    TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
    """.split()  # noqa: SIM905 - a table of 249 codes is read more easily as text
)

# What people write instead; not codes, but near enough to name the right one.
_OFTEN_MEANT = {"UK": "GB", "EL": "GR", "SW": "SE", "SWE": "SE", "NOR": "NO", "DEU": "DE", "GER": "DE", "FIN": "FI"}


def nearest_country(text: str) -> str:
    """The code that was probably meant; empty if nobody can tell."""
    upper = text.strip().upper()
    if upper in COUNTRIES:
        return upper
    return _OFTEN_MEANT.get(upper, "")
