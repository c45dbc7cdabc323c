"""Templates: JSON in which placeholders and directives stand for what differs from entity to entity.

A string may hold placeholders; one that is nothing else becomes the value itself, of any type:

| placeholder | stands for |
|---|---|
| `${trade.client}` | what the scope holds under this path, itself a template |
| `${id workflows}` | the id of one of the location's workflows, counted on from the entity's own number |
| `${new stage uuid}` | an id of this place's own, in the form `short`, `object` or `uuid` |
| `${count tags}` | how many of them the location has |
| `${int 1 48}`, `${pick streets}` | a random number, a random one of a list |
| `${moment 0 300}` | a random moment between these days of the simulated past |
| `${dashed name}`, `${underscored name}` | the text as addresses and field keys have it |

An object with one of these keys is a directive; lists may be given by their path in the scope:

| directive | becomes |
|---|---|
| `{"$cycle": list}` | the list's element for this place, over and over |
| `{"$pick": list}`, `{"$sample": list, "count": n}` | a random element, n random elements |
| `{"$each": list, "as": template}` | the template for each element, which it sees as `item`, at `place` |
| `{"$each": list, "count": n, "as": template}` | the same n times, counted on from the entity's number |
| `{"$text": list}` | lines of text |

In any other object the key `...` spreads an object, `self` is what stands before in the object, and a key
whose value comes out null is left out.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeAlias

from ghl_snapshots.simulator.identifiers import ID_FORMS

Template: TypeAlias = Any  # JSON

_EPOCH = datetime(2024, 1, 8, 9, 0, tzinfo=UTC)
_PLACEHOLDER = re.compile(r"\$\{([^{}]+)\}")
_NOT_A_WORD = re.compile(r"[\W_]+")


@dataclass(slots=True, kw_only=True)
class Scope:
    """What a template is rendered with.

    `owner` begins every id. `counts` says for each noun in what form its ids are and how many there are.
    """

    names: Mapping[str, Any]
    random: random.Random
    owner: tuple[object, ...]
    counts: Mapping[str, tuple[str, int]]
    path: str
    here: Mapping[str, Any] = field(default_factory=dict)
    """The names that change from place to place."""
    number: int = 0
    """What references and counted lists count on from: the entity's number plus the places inside it."""
    place: int = 0

    def inside(self, item: object, place: int, *, round_number: int = 0) -> "Scope":
        """The scope of an element of a list; `round_number` counts how often the list was used up before."""
        again = f" {round_number + 1}" if round_number else ""
        here = {"item": item, "place": place, "again": again, "round": round_number + 1}
        return self._nested(here, f"{self.path}/{place}", self.number + place, place)

    def within(self, made: Mapping[str, Any]) -> "Scope":
        """The scope of what follows in an object of which this much is made."""
        return self._nested({**self.here, "self": made}, self.path, self.number, self.place)

    def _nested(self, here: Mapping[str, Any], path: str, number: int, place: int) -> "Scope":
        return Scope(
            names=self.names,
            here=here,
            random=self.random,
            owner=self.owner,
            counts=self.counts,
            path=path,
            number=number,
            place=place,
        )

    def find(self, path: str) -> Any:  # noqa: ANN401 (JSON)
        """What the names hold under a dotted path, not rendered yet.

        Raises:
            LookupError: when there is nothing.
        """
        first, *names = path.split(".")
        found = self.here[first] if first in self.here else self.names[first]
        for name in names:
            found = found[int(name)] if isinstance(found, Sequence) else found[name]
        return found

    def options(self, listed: str | Sequence[Template]) -> Sequence[Template]:
        """A list that is given itself or by its path."""
        return self.find(listed) if isinstance(listed, str) else listed

    def id_of(self, noun: str, number: int) -> str:
        """The id of the owner's noun with this number."""
        return ID_FORMS[self.counts[noun][0]](*self.owner, noun, number)


def render(template: Template, scope: Scope) -> Any:  # noqa: ANN401 (JSON)
    """What a template becomes in a scope; the same for equal scopes.

    Raises:
        LookupError: when the template names something that the scope does not hold.
    """
    if isinstance(template, str):
        return _render_text(template, scope)
    if isinstance(template, list):
        return [render(element, scope) for element in template]
    if not isinstance(template, dict):
        return template
    directive = next(iter(template), "")
    if directive.startswith("$"):
        return _DIRECTIVES[directive](template, scope)
    made: dict[str, Any] = {}
    inner = scope.within(made)
    for key, value in template.items():
        rendered = render(value, inner)
        if key == "...":
            made.update(rendered)
        elif rendered is not None:
            made[key] = rendered
    return made


def _render_text(text: str, scope: Scope) -> Any:  # noqa: ANN401 (JSON)
    parts = _parts(text)
    if len(parts) == 1:
        return text
    values = [_value(part, scope) if number % 2 else part for number, part in enumerate(parts)]
    return values[1] if parts[0] == parts[-1] == "" and len(parts) == 3 else "".join(map(str, values))


@lru_cache(maxsize=4096)
def _parts(text: str) -> list[str]:
    """Plain text and the insides of placeholders in turn."""
    return _PLACEHOLDER.split(text)


def _value(placeholder: str, scope: Scope) -> Any:  # noqa: ANN401 (JSON)
    name, *arguments = placeholder.split()
    if arguments:
        return _FUNCTIONS[name](scope, *arguments)
    return render(scope.find(name), scope)


def _reference(scope: Scope, noun: str) -> str:
    return scope.id_of(noun, scope.number % max(1, scope.counts[noun][1]))


def _new_id(scope: Scope, noun: str, form: str) -> str:
    return ID_FORMS[form](*scope.owner, noun, scope.path)


def _moment(scope: Scope, first_day: str, last_day: str) -> str:
    milliseconds = scope.random.randrange(int(first_day) * 86_400_000, int(last_day) * 86_400_000)
    at = _EPOCH + timedelta(milliseconds=milliseconds)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z"


def _joined(scope: Scope, path: str, joint: str) -> str:
    return joint.join(_NOT_A_WORD.sub(" ", str(_value(path, scope)).lower()).split())


def _pick(template: Mapping[str, Template], scope: Scope) -> Any:  # noqa: ANN401 (JSON)
    return render(scope.random.choice(scope.options(template["$pick"])), scope)


def _cycle(template: Mapping[str, Template], scope: Scope) -> Any:  # noqa: ANN401 (JSON)
    options = scope.options(template["$cycle"])
    return render(options[scope.place % len(options)], scope)


def _sample(template: Mapping[str, Template], scope: Scope) -> list[Any]:
    return render(scope.random.sample(scope.options(template["$sample"]), template["count"]), scope)  # type: ignore[no-any-return] # a list stays one


def _each(template: Mapping[str, Template], scope: Scope) -> list[Any]:
    options = scope.options(template["$each"])
    items = options
    if "count" in template:
        count = render(template["count"], scope)
        items = [options[(scope.number + place) % len(options)] for place in range(count)]
    return [render(template["as"], scope.inside(item, place)) for place, item in enumerate(items)]


def _text(template: Mapping[str, Template], scope: Scope) -> str:
    return "\n".join(_lines(render(template["$text"], scope)))


def _lines(rendered: str | list[Any]) -> list[str]:
    return [rendered] if isinstance(rendered, str) else [line for part in rendered for line in _lines(part)]


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "id": _reference,
    "new": _new_id,
    "count": lambda scope, noun: scope.counts[noun][1],
    "int": lambda scope, low, high: scope.random.randint(int(low), int(high)),
    "pick": lambda scope, path: _pick({"$pick": path}, scope),
    "moment": _moment,
    "dashed": lambda scope, path: _joined(scope, path, "-"),
    "underscored": lambda scope, path: _joined(scope, path, "_"),
}
_DIRECTIVES: Mapping[str, Callable[[Mapping[str, Template], Scope], Any]] = {
    "$pick": _pick,
    "$cycle": _cycle,
    "$sample": _sample,
    "$each": _each,
    "$text": _text,
}
