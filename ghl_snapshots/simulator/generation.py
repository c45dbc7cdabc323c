"""Worlds made from a seed: the demo's accounts, and large ones whose entities are made when asked for."""

from collections.abc import Mapping
from functools import partial

from ghl_snapshots.simulator.accounts import Accounts, Agency, EntityLists, Location
from ghl_snapshots.simulator.content import CHILD_KINDS, KINDS, Content, load
from ghl_snapshots.simulator.identifiers import object_id, short_id, uuid_id
from ghl_snapshots.simulator.tokens import refresh_token


def demo_accounts(seed: int = 1, *, sizes: Mapping[str, int] | None = None, gaps: bool = False) -> Accounts:
    """One agency with three locations and two locations of their own; the same for the same seed.

    One location has more voice agents than a page of 50, another more rooms than one of 100.
    `sizes` are counts by kind that hold for all locations in the place of the demo's own. With `gaps` the
    agency has locations without the app, and one whose tokens lack a scope.
    """
    accounts = _empty(seed)
    demo = load("demo")
    agency = _add_agency(accounts, demo["agency"], 0)
    for rows, owner in ((demo["agency_locations"], agency), (demo["single_locations"], None)):
        for row in rows:
            _add_location(accounts, **row | {"sizes": row["sizes"] | (sizes or {})}, agency=owner)
    if gaps:
        for row in demo["gaps"]["without_app"]:
            _add_location(accounts, **row, agency=agency).installed = False
        for location in accounts.locations.values():
            location.scopes -= set(demo["gaps"]["lacking_scopes"].get(location.name, ()))
    return accounts


def generated_accounts(
    seed: int, *, tenants: int, locations_per_agency: int = 0, sizes: Mapping[str, int] | None = None
) -> Accounts:
    """A world of `tenants` accounts: agencies with so many locations each or, with 0, single locations.

    `sizes` are the counts of entities by kind where they differ from the defaults. Entities are made when
    first asked for and stay, about 36 KB a location with the default sizes.

    Raises:
        ValueError: when `sizes` names a kind that there is not.
    """
    unknown = sorted((sizes or {}).keys() - KINDS.keys() - load("references").keys())
    if unknown:
        raise ValueError(f"there are no entities of the kind {unknown[0]}")
    accounts = _empty(seed)
    words = load("words")["agency_words"]
    for tenant in range(tenants):
        if locations_per_agency == 0:
            _add_numbered_location(accounts, tenant, sizes or {})
            continue
        agency = _add_agency(accounts, f"{words[tenant % len(words)]} Agency {tenant + 1}", tenant)
        for place in range(locations_per_agency):
            _add_numbered_location(accounts, tenant * locations_per_agency + place, sizes or {}, agency)
    return accounts


def _empty(seed: int) -> Accounts:
    return Accounts(
        seed=seed,
        client_id=f"{object_id(seed, 'app')}-{short_id(seed, 'app')[:8].lower()}",
        client_secret=uuid_id(seed, "client secret"),
        locations={},
        agencies={},
    )


def _add_agency(accounts: Accounts, name: str, number: int) -> Agency:
    company_id = short_id(accounts.seed, "company", number)
    agency = Agency(
        company_id=company_id,
        name=name,
        private_integration_token=f"pit-{uuid_id(accounts.seed, 'token', company_id)}",
        refresh_token=refresh_token(accounts.seed, company_id, 1),
    )
    content = Content(
        seed=accounts.seed,
        location_id=company_id,
        company_id=company_id,
        name=name,
        trade=next(iter(load("trades"))),
        city=load("words")["cities"][0],
        sizes={},
        location_ids=agency.location_ids,
    )
    agency.entities = EntityLists(lambda: ["company"], content.entities)
    accounts.agencies[company_id] = agency
    return agency


def _add_numbered_location(
    accounts: Accounts, number: int, sizes: Mapping[str, int], agency: Agency | None = None
) -> None:
    trades, words = load("trades"), load("words")["place_words"]
    trade = list(trades)[number % len(trades)]
    businesses = trades[trade]["business_names"]
    business = businesses[number // len(trades) % len(businesses)]
    name = f"{words[number % len(words)]} {business} {number + 1}"
    _add_location(accounts, name=name, trade=trade, city=number, sizes=sizes, agency=agency)


def _add_location(
    accounts: Accounts,
    *,
    name: str,
    trade: str,
    city: int,
    sizes: Mapping[str, int],
    agency: Agency | None = None,
) -> Location:
    seed, cities = accounts.seed, load("words")["cities"]
    location_id = short_id(seed, "location", name)
    company_id = agency.company_id if agency else short_id(seed, "company of", name)
    content = Content(
        seed=seed,
        location_id=location_id,
        company_id=company_id,
        name=name,
        trade=trade,
        city=cities[city % len(cities)],
        sizes=sizes,
    )
    location = accounts.locations[location_id] = Location(
        location_id=location_id,
        company_id=company_id,
        name=name,
        private_integration_token=f"pit-{uuid_id(seed, 'token', location_id)}",
        refresh_token=refresh_token(seed, location_id, 1),
        entities=EntityLists(lambda: KINDS, content.entities),
        children={
            kind: EntityLists(partial(content.parent_ids, kind), partial(content.children, kind))
            for kind in CHILD_KINDS
        },
    )
    if agency:
        agency.location_ids.append(location_id)
    return location
