"""ISO 3166-1: the officially assigned codes, so that a wrong country is found before it is sent.

A table of its own and not the library pycountry, which the control plane uses: that is 23 MB installed and 60 ms to
import, which every app team would pay for, against 4 ms here. A test compares this table with the library's, code by
code.
"""

from __future__ import annotations

import difflib
from functools import cache

_ALIKE_MIN = 0.76

# Alpha-2, alpha-3, and names that people write, of which the first is the English one.
# https://www.iso.org/iso-3166-country-codes.html, officially assigned codes.
_TABLE = """
    AD AND Andorra; AE ARE United Arab Emirates; AF AFG Afghanistan; AG ATG Antigua and Barbuda; AI AIA Anguilla;
    AL ALB Albania; AM ARM Armenia; AO AGO Angola; AQ ATA Antarctica; AR ARG Argentina; AS ASM American Samoa;
    AT AUT Austria/Oesterreich/Osterreich; AU AUS Australia; AW ABW Aruba; AX ALA Åland Islands/Aland;
    AZ AZE Azerbaijan; BA BIH Bosnia and Herzegovina; BB BRB Barbados; BD BGD Bangladesh;
    BE BEL Belgium/Belgique/Belgie; BF BFA Burkina Faso; BG BGR Bulgaria; BH BHR Bahrain; BI BDI Burundi;
    BJ BEN Benin; BL BLM Saint Barthélemy; BM BMU Bermuda; BN BRN Brunei; BO BOL Bolivia; BQ BES Bonaire;
    BR BRA Brazil/Brasil; BS BHS Bahamas; BT BTN Bhutan; BV BVT Bouvet Island; BW BWA Botswana; BY BLR Belarus;
    BZ BLZ Belize; CA CAN Canada; CC CCK Cocos Islands; CD COD Democratic Republic of the Congo;
    CF CAF Central African Republic; CG COG Congo; CH CHE Switzerland/Schweiz/Suisse/Svizzera;
    CI CIV Côte d'Ivoire/Ivory Coast; CK COK Cook Islands; CL CHL Chile; CM CMR Cameroon; CN CHN China;
    CO COL Colombia; CR CRI Costa Rica; CU CUB Cuba; CV CPV Cabo Verde/Cape Verde; CW CUW Curaçao;
    CX CXR Christmas Island; CY CYP Cyprus; CZ CZE Czechia/Czech Republic/Cesko;
    DE DEU Germany/Deutschland/Tyskland; DJ DJI Djibouti; DK DNK Denmark/Danmark; DM DMA Dominica;
    DO DOM Dominican Republic; DZ DZA Algeria; EC ECU Ecuador; EE EST Estonia/Eesti; EG EGY Egypt;
    EH ESH Western Sahara; ER ERI Eritrea; ES ESP Spain/Espana; ET ETH Ethiopia; FI FIN Finland/Suomi; FJ FJI Fiji;
    FK FLK Falkland Islands; FM FSM Micronesia; FO FRO Faroe Islands/Faeroe Islands; FR FRA France/Frankrike;
    GA GAB Gabon; GB GBR United Kingdom/England/Scotland/Wales/Great Britain; GD GRD Grenada; GE GEO Georgia;
    GF GUF French Guiana; GG GGY Guernsey; GH GHA Ghana; GI GIB Gibraltar; GL GRL Greenland; GM GMB Gambia;
    GN GIN Guinea; GP GLP Guadeloupe; GQ GNQ Equatorial Guinea; GR GRC Greece/Hellas;
    GS SGS South Georgia and the South Sandwich Islands; GT GTM Guatemala; GU GUM Guam; GW GNB Guinea-Bissau;
    GY GUY Guyana; HK HKG Hong Kong; HM HMD Heard Island and McDonald Islands; HN HND Honduras;
    HR HRV Croatia/Hrvatska; HT HTI Haiti; HU HUN Hungary/Magyarorszag; ID IDN Indonesia; IE IRL Ireland/Eire;
    IL ISR Israel; IM IMN Isle of Man; IN IND India; IO IOT British Indian Ocean Territory; IQ IRQ Iraq;
    IR IRN Iran; IS ISL Iceland/Island; IT ITA Italy/Italia; JE JEY Jersey; JM JAM Jamaica; JO JOR Jordan;
    JP JPN Japan; KE KEN Kenya; KG KGZ Kyrgyzstan; KH KHM Cambodia; KI KIR Kiribati; KM COM Comoros;
    KN KNA Saint Kitts and Nevis; KP PRK North Korea; KR KOR South Korea; KW KWT Kuwait; KY CYM Cayman Islands;
    KZ KAZ Kazakhstan; LA LAO Laos; LB LBN Lebanon; LC LCA Saint Lucia; LI LIE Liechtenstein; LK LKA Sri Lanka;
    LR LBR Liberia; LS LSO Lesotho; LT LTU Lithuania/Lietuva; LU LUX Luxembourg; LV LVA Latvia/Latvija;
    LY LBY Libya; MA MAR Morocco; MC MCO Monaco; MD MDA Moldova; ME MNE Montenegro; MF MAF Saint Martin;
    MG MDG Madagascar; MH MHL Marshall Islands; MK MKD North Macedonia/Macedonia; ML MLI Mali;
    MM MMR Myanmar/Burma; MN MNG Mongolia; MO MAC Macao; MP MNP Northern Mariana Islands; MQ MTQ Martinique;
    MR MRT Mauritania; MS MSR Montserrat; MT MLT Malta; MU MUS Mauritius; MV MDV Maldives; MW MWI Malawi;
    MX MEX Mexico; MY MYS Malaysia; MZ MOZ Mozambique; NA NAM Namibia; NC NCL New Caledonia; NE NER Niger;
    NF NFK Norfolk Island; NG NGA Nigeria; NI NIC Nicaragua; NL NLD Netherlands/Nederland/Holland;
    NO NOR Norway/Norge/Noreg; NP NPL Nepal; NR NRU Nauru; NU NIU Niue; NZ NZL New Zealand; OM OMN Oman;
    PA PAN Panama; PE PER Peru; PF PYF French Polynesia; PG PNG Papua New Guinea; PH PHL Philippines;
    PK PAK Pakistan; PL POL Poland/Polska; PM SPM Saint Pierre and Miquelon; PN PCN Pitcairn; PR PRI Puerto Rico;
    PS PSE Palestine; PT PRT Portugal; PW PLW Palau; PY PRY Paraguay; QA QAT Qatar; RE REU Réunion;
    RO ROU Romania/; RS SRB Serbia; RU RUS Russia; RW RWA Rwanda; SA SAU Saudi Arabia; SB SLB Solomon Islands;
    SC SYC Seychelles; SD SDN Sudan; SE SWE Sweden/Sverige; SG SGP Singapore; SH SHN Saint Helena;
    SI SVN Slovenia/Slovenija; SJ SJM Svalbard and Jan Mayen; SK SVK Slovakia/Slovensko; SL SLE Sierra Leone;
    SM SMR San Marino; SN SEN Senegal; SO SOM Somalia; SR SUR Suriname; SS SSD South Sudan;
    ST STP Sao Tome and Principe; SV SLV El Salvador; SX SXM Sint Maarten; SY SYR Syria; SZ SWZ Eswatini/Swaziland;
    TC TCA Turks and Caicos Islands; TD TCD Chad; TF ATF French Southern Territories; TG TGO Togo; TH THA Thailand;
    TJ TJK Tajikistan; TK TKL Tokelau; TL TLS Timor-Leste; TM TKM Turkmenistan; TN TUN Tunisia; TO TON Tonga;
    TR TUR Türkiye/Turkey; TT TTO Trinidad and Tobago; TV TUV Tuvalu; TW TWN Taiwan; TZ TZA Tanzania;
    UA UKR Ukraine; UG UGA Uganda; UM UMI United States Minor Outlying Islands;
    US USA United States/United States of America/America; UY URY Uruguay; UZ UZB Uzbekistan; VA VAT Vatican City;
    VC VCT Saint Vincent and the Grenadines; VE VEN Venezuela; VG VGB British Virgin Islands;
    VI VIR US Virgin Islands; VN VNM Vietnam; VU VUT Vanuatu; WF WLF Wallis and Futuna; WS WSM Samoa; YE YEM Yemen;
    YT MYT Mayotte; ZA ZAF South Africa; ZM ZMB Zambia; ZW ZWE Zimbabwe
"""
_ENTRIES = tuple(entry.strip().split(maxsplit=2) for entry in _TABLE.split(";"))

COUNTRIES: frozenset[str] = frozenset(alpha_2 for alpha_2, _, _ in _ENTRIES)
ALPHA_3: dict[str, str] = {alpha_3: alpha_2 for alpha_2, alpha_3, _ in _ENTRIES}
NAMES: dict[str, tuple[str, ...]] = {alpha_2: tuple(names.split("/")) for alpha_2, _, names in _ENTRIES}

# What people write instead of a code; near enough to name the right one.
_OFTEN_MEANT = {"UK": "GB", "EL": "GR", "SW": "SE", "GER": "DE", "DEN": "DK", "SUI": "CH", "NED": "NL"}


def nearest_country(text: str) -> str:
    """The code that was probably meant: by its alpha-3 code, or a name alike; empty if nobody can tell."""
    upper = text.strip().upper()
    if upper in COUNTRIES:
        return upper
    if code := _OFTEN_MEANT.get(upper) or ALPHA_3.get(upper):
        return code
    if len(upper) < 4 or len(upper) > 60:
        return ""
    codes = _codes_by_name()
    close = difflib.get_close_matches(upper, codes, n=1, cutoff=_ALIKE_MIN)
    return codes[close[0]] if close else ""


def country_hint(text: str) -> str:
    """What to append to an error about a wrong country: the code that was probably meant."""
    code = nearest_country(text)
    return f"; did you mean {code}?" if code else ""


@cache
def _codes_by_name() -> dict[str, str]:
    return {name.upper(): code for code, names in NAMES.items() for name in names}


def country_fault(code: str) -> str:
    """Why a text is no country code, with the one that was probably meant; empty if it is one."""
    return "" if code in COUNTRIES else f"{code!r} is no country code of ISO 3166-1 alpha-2{country_hint(code)}"
