"""What a location holds, rendered from the templates in `data/` when it is first asked for."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import Any

from ghl_snapshots.simulator.template import Scope, Template, render

_DATA = resources.files("ghl_snapshots.simulator") / "data"


@cache
def load(name: str) -> Any:  # noqa: ANN401 (JSON)
    """The content of `data/<name>.json`."""
    return json.loads((_DATA / f"{name}.json").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityKind:
    """A kind of entity that a location has a list of, by default of `count`."""

    count: int
    id: str
    """The form of the ids."""
    each: str | None = None
    """Path of the list whose elements the entities are made from in turn."""
    entity: Template


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildKind:
    """A kind of entity that each entity of the parent kind has a list of."""

    parent: str
    entities: Template


def _kinds() -> dict[str, EntityKind | ChildKind]:
    files = sorted(file.name.removesuffix(".json") for file in (_DATA / "entities").iterdir())
    rows = {name: row for file in files for name, row in load(f"entities/{file}").items()}
    return {name: ChildKind(**row) if "parent" in row else EntityKind(**row) for name, row in rows.items()}


_ALL_KINDS = _kinds()
KINDS = {name: kind for name, kind in _ALL_KINDS.items() if isinstance(kind, EntityKind)}
"""The keys of `Location.entities`, with how the entities are made."""
CHILD_KINDS = {name: kind for name, kind in _ALL_KINDS.items() if isinstance(kind, ChildKind)}
"""The keys of `Location.children`, with how the entities are made."""


@dataclass(frozen=True, kw_only=True)
class Content:
    """One location's content: two with equal fields have byte for byte the same entities."""

    seed: int
    location_id: str
    company_id: str
    name: str
    trade: str
    city: Mapping[str, str]
    sizes: Mapping[str, int]
    """Counts of entities by kind, or of what they refer to, where they differ from the defaults."""
    location_ids: Sequence[str] = ()
    """An agency's locations."""

    def entities(self, kind: str) -> list[bytes]:
        """All entities of a kind as GHL's JSON."""
        scope = self._scope(kind)
        return [
            _encoded(render(KINDS[kind].entity, self._inside(scope, kind, index)))
            for index in range(self._counts[kind][1])
        ]

    def parent_ids(self, child_kind: str) -> list[str]:
        """The ids of the entities that have children of this kind."""
        parent = CHILD_KINDS[child_kind].parent
        return [self._scope(parent).id_of(parent, index) for index in range(self._counts[parent][1])]

    def children(self, child_kind: str, parent_id: str) -> list[bytes]:
        """One parent's entities of this kind as GHL's JSON."""
        kind = CHILD_KINDS[child_kind]
        index = self.parent_ids(child_kind).index(parent_id)
        scope = self._inside(self._scope(kind.parent, parent_id=parent_id), kind.parent, index)
        return [_encoded(entity) for entity in render(kind.entities, scope)]

    @cached_property
    def _counts(self) -> Mapping[str, tuple[str, int]]:
        defaults = {name: (kind.id, kind.count) for name, kind in KINDS.items()}
        defaults |= {noun: (row["id"], row["count"]) for noun, row in load("references").items()}
        return {noun: (form, self.sizes.get(noun, count)) for noun, (form, count) in defaults.items()}

    @cached_property
    def _names(self) -> dict[str, Any]:
        given = {
            **load("words"),
            **load("fragments"),
            "location_id": self.location_id,
            "company_id": self.company_id,
            "location_count": len(self.location_ids),
            "name": self.name,
            "city": self.city,
            "trade": load("trades")[self.trade],
        }
        facts: dict[str, Any] = render(load("facts"), self._scope_of(given, "facts"))
        return given | facts

    def _scope(self, kind: str, **more: str) -> Scope:
        return self._scope_of(self._names | more, kind)

    def _scope_of(self, names: Mapping[str, Any], path: str) -> Scope:
        return Scope(
            names=names,
            random=random.Random(f"{self.seed}/{self.location_id}/{path}"),  # noqa: S311 (no secret)
            owner=(self.seed, self.location_id),
            counts=self._counts,
            path=path,
        )

    @staticmethod
    def _inside(scope: Scope, kind: str, index: int) -> Scope:
        each = KINDS[kind].each
        items = scope.find(each) if each else [None]
        return scope.inside(items[index % len(items)], index, round_number=index // len(items))


def _encoded(entity: object) -> bytes:
    """Compact and not escaped beyond need, as GHL writes it."""
    return json.dumps(entity, ensure_ascii=False, separators=(",", ":")).encode()
