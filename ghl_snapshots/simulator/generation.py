"""Worlds made from a seed: the demo's accounts, and large ones whose entities are made when asked for."""

from functools import partial

from ghl_snapshots.simulator import agent_actions, agent_entities, calendar_entities, location_entities
from ghl_snapshots.simulator.accounts import KINDS, Accounts, Agency, EntityLists, Location
from ghl_snapshots.simulator.identifiers import object_id, short_id, uuid_id
from ghl_snapshots.simulator.industries import DENTAL, FITNESS, HVAC, INDUSTRIES, LAW, MED_SPA, Industry
from ghl_snapshots.simulator.names import AGENCY_WORDS, CITIES, PLACE_WORDS
from ghl_snapshots.simulator.profile import Profile, Sizes
from ghl_snapshots.simulator.tokens import refresh_token

_GENERATORS = {
    "location": location_entities.location,
    "location_summaries": location_entities.location_summaries,
    "custom_fields": location_entities.custom_fields,
    "custom_values": location_entities.custom_values,
    "tags": location_entities.tags,
    "pipelines": location_entities.pipelines,
    "workflows": location_entities.workflows,
    "calendars": calendar_entities.calendars,
    "calendar_groups": calendar_entities.calendar_groups,
    "rooms": calendar_entities.rooms,
    "equipments": calendar_entities.equipments,
    "voice_ai_agents": agent_entities.voice_ai_agents,
    "conversation_ai_agents": agent_entities.conversation_ai_agents,
    "agent_studio_agents": agent_entities.agent_studio_agents,
}

_PRACTICE = Sizes(
    workflows=14, voice_ai_agents=7, conversation_ai_agents=7, agent_studio_agents=6, rooms=9, equipments=6
)
_CALL_CENTER = Sizes(
    pipelines=3, workflows=31, calendars=9, calendar_groups=3, rooms=6, equipments=12, custom_fields=11,
    custom_values=16, tags=12, voice_ai_agents=57, conversation_ai_agents=12, agent_studio_agents=54,
)  # fmt: skip
_GYM_CHAIN = Sizes(
    pipelines=3, workflows=18, calendars=12, calendar_groups=4, rooms=112, equipments=23, voice_ai_agents=3,
    conversation_ai_agents=6, agent_studio_agents=2,
)  # fmt: skip
_SMALL_FIRM = Sizes(workflows=9, rooms=3, voice_ai_agents=1, conversation_ai_agents=3, agent_studio_agents=0)


def demo_accounts(seed: int = 1) -> Accounts:
    """One agency with three locations and two locations of their own; the same for the same seed.

    One location has more voice and studio agents than a page of 50, another more rooms than one of 100.
    """
    accounts = _empty(seed)
    agency = _add_agency(accounts, "Northlight Growth Partners", 0)
    for name, industry, city, sizes in (
        ("Harbor Dental Studio", DENTAL, 0, _PRACTICE),
        ("Summit Heating & Air", HVAC, 1, _CALL_CENTER),
        ("Verde Med Spa", MED_SPA, 2, _PRACTICE),
    ):
        profile = _profile(
            seed, name, industry=industry, city=city, sizes=sizes, company_id=agency.company_id
        )
        agency.location_ids.append(_add_location(accounts, profile).location_id)
    for name, industry, city, sizes in (
        ("Whitfield Family Law", LAW, 3, _SMALL_FIRM),
        ("Ironclad Fitness Collective", FITNESS, 4, _GYM_CHAIN),
    ):
        _add_location(accounts, _profile(seed, name, industry=industry, city=city, sizes=sizes))
    return accounts


def generated_accounts(
    seed: int, *, tenants: int, locations_per_agency: int = 0, sizes: Sizes | None = None
) -> Accounts:
    """A world of `tenants` accounts: agencies with so many locations each or, with 0, single locations.

    Entities are made when first asked for and kept, about 36 KB a location with the default sizes.
    """
    accounts = _empty(seed)
    chosen = sizes or Sizes()
    for tenant in range(tenants):
        if locations_per_agency == 0:
            _add_location(accounts, _numbered_profile(seed, tenant, chosen))
            continue
        agency = _add_agency(
            accounts, f"{AGENCY_WORDS[tenant % len(AGENCY_WORDS)]} Agency {tenant + 1}", tenant
        )
        for place in range(locations_per_agency):
            number = tenant * locations_per_agency + place
            profile = _numbered_profile(seed, number, chosen, agency.company_id)
            agency.location_ids.append(_add_location(accounts, profile).location_id)
    return accounts


def _empty(seed: int) -> Accounts:
    return Accounts(
        seed=seed,
        client_id=f"{object_id(seed, 'app')}-{short_id(seed, 'app')[:8].lower()}",
        client_secret=uuid_id(seed, "client secret"),
        locations={},
        agencies={},
    )


def _numbered_profile(seed: int, number: int, sizes: Sizes, company_id: str | None = None) -> Profile:
    industry = INDUSTRIES[number % len(INDUSTRIES)]
    word = PLACE_WORDS[number % len(PLACE_WORDS)]
    kind = industry.business_names[number // len(INDUSTRIES) % len(industry.business_names)]
    return _profile(
        seed,
        f"{word} {kind} {number + 1}",
        industry=industry,
        city=number,
        sizes=sizes,
        company_id=company_id,
    )


def _profile(
    seed: int, name: str, *, industry: Industry, city: int, sizes: Sizes, company_id: str | None = None
) -> Profile:
    return Profile(
        seed=seed,
        location_id=short_id(seed, "location", name),
        company_id=company_id or short_id(seed, "company of", name),
        name=name,
        industry=industry,
        city=CITIES[city % len(CITIES)],
        sizes=sizes,
    )


def _add_agency(accounts: Accounts, name: str, number: int) -> Agency:
    company_id = short_id(accounts.seed, "company", number)
    agency = Agency(
        company_id=company_id,
        name=name,
        private_integration_token=f"pit-{uuid_id(accounts.seed, 'token', company_id)}",
        refresh_token=refresh_token(accounts.seed, company_id, 1),
    )
    accounts.agencies[company_id] = agency
    return agency


def _add_location(accounts: Accounts, profile: Profile) -> Location:
    location = Location(
        location_id=profile.location_id,
        company_id=profile.company_id,
        name=profile.name,
        private_integration_token=f"pit-{uuid_id(accounts.seed, 'token', profile.location_id)}",
        refresh_token=refresh_token(accounts.seed, profile.location_id, 1),
        entities=EntityLists(lambda: KINDS, lambda kind: _GENERATORS[kind](profile)),
        agent_actions=EntityLists(
            partial(agent_actions.agent_ids, profile), partial(agent_actions.conversation_actions, profile)
        ),
    )
    accounts.locations[location.location_id] = location
    return location
