"""The whole product for a test: databases of its own, a simulated GHL, tenants, Dagster's home."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import dagster as dg
import psycopg
import pytest
from psycopg.rows import dict_row

from ghl_snapshots.capture.composition import open_database
from ghl_snapshots.core.model import AccountKind, Tenant
from ghl_snapshots.core.settings import Settings
from ghl_snapshots.ledger.migrate import create_database
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.local.environment import product_environment
from ghl_snapshots.orchestration.instance import prepare_storage
from ghl_snapshots.simulator.accounts import Location
from ghl_snapshots.simulator.generation import generated_accounts
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots.simulator.tokens import refresh_token
from ghl_snapshots_tests.databases import Server, copy_of, ledger_template


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A running product; tenants are `t00`, `t01`, ... with one location each, in the order of their ids."""

    settings: Settings
    simulator: Simulator
    tenants: Mapping[str, Tenant]
    superuser_url: str

    @property
    def tenant_ids(self) -> Sequence[str]:
        """All tenants, in order."""
        return list(self.tenants)

    def location(self, tenant_id: str) -> Location:
        """The tenant's location as the simulated GHL has it."""
        return self.simulator.accounts.locations[self.tenants[tenant_id].ghl_account_id]

    @contextmanager
    def registry(self) -> Iterator[TenantRegistry]:
        """The registry of tenants."""
        with open_database(self.settings) as database:
            yield TenantRegistry(database)

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """Dagster's instance."""
        with dg.DagsterInstance.get() as instance:
            yield instance

    def rows(self, query: str, *parameters: object) -> list[dict[str, object]]:
        """What a query by the superuser finds in the product's database."""
        with psycopg.connect(self.superuser_url, row_factory=dict_row) as connection:
            return connection.execute(query.encode(), parameters).fetchall()


def product_template(server: Server, folder: Path) -> str:
    """Make a ledger without tenants and, beside it, Dagster's database with its tables; the ledger's name."""
    name = ledger_template(server, tenant_ids=())
    create_database(server.url(f"{name}_dagster"))
    with pytest.MonkeyPatch.context() as patch:
        _name_in_environment(patch, {"GHL_SNAPSHOTS_DATABASE_URL": server.url(name)}, folder)
        with product_environment():
            prepare_storage()
    return name


@contextmanager
def running_product(
    server: Server, template: str, folder: Path, *, tenants: int, agency_locations: int = 0
) -> Iterator[Product]:
    """The product with so many tenants on copies of the template, in the environment of this process.

    With `agency_locations` the simulated GHL has an agency too, which is no tenant yet.
    """
    accounts = generated_accounts(7, tenants=tenants)
    single = accounts.single_locations
    if agency_locations:
        agency = generated_accounts(8, tenants=1, locations_per_agency=agency_locations)
        for company_id, each in agency.agencies.items():
            each.refresh_token = refresh_token(accounts.seed, company_id, 1)  # signed with this world's key
        accounts.agencies.update(agency.agencies)
        accounts.locations.update(agency.locations)
    with ExitStack() as stack:
        simulator = stack.enter_context(Simulator(accounts))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        name = f"product_{uuid4().hex[:12]}"
        url = stack.enter_context(copy_of(server, template, name))
        stack.enter_context(copy_of(server, f"{template}_dagster", f"{name}_dagster"))
        variables = {"GHL_SNAPSHOTS_DATABASE_URL": url, "GHL_BASE_URL": simulator.base_url}
        _name_in_environment(patch, variables, folder)
        registered = {}
        for number, location in enumerate(single):
            tenant_id = f"t{number:02}"
            patch.setenv(f"TOKEN_{tenant_id}", location.private_integration_token)
            registered[tenant_id] = Tenant(
                tenant_id=tenant_id,
                ghl_account_id=location.location_id,
                account_kind=AccountKind.LOCATION,
                credential=f"env:TOKEN_{tenant_id}",
            )
        settings = stack.enter_context(product_environment())
        product = Product(settings=settings, simulator=simulator, tenants=registered, superuser_url=url)
        with product.registry() as registry:
            for tenant in registered.values():
                registry.add(tenant)
        yield product


def _name_in_environment(patch: pytest.MonkeyPatch, variables: Mapping[str, str], home: Path) -> None:
    patch.delenv("DAGSTER_HOME", raising=False)
    for name, value in {**variables, "GHL_SNAPSHOTS_HOME": str(home)}.items():
        patch.setenv(name, value)
