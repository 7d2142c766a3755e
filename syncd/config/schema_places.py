"""Which keys the schema has, and where each may stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from syncd.config.fields import Strict
from syncd.config.settings import Settings


@cache
def all_fields() -> frozenset[str]:
    """Every name of the schema."""
    return frozenset(_places())


@cache
def _places() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for place, model in _models(Settings):
        for name in _keys(model):
            found.setdefault(name, set()).add(place or "the top level")
    return {name: frozenset(places) for name, places in found.items()}


def places_of(key: str) -> frozenset[str]:
    """Where a key of the schema may stand, such as `targets.NAME.auth`."""
    return _places().get(key, frozenset())


def _keys(model: type[Strict]) -> Iterable[str]:
    """How the fields of a model are written in the file."""
    return (field.alias or name for name, field in model.model_fields.items())


def fields_at(loc: tuple[int | str, ...]) -> frozenset[str]:
    """The keys that a place of the configuration may have."""
    here: list[Any] = [Settings]
    for part in loc:
        here = [inner for model in here for inner in _inside(model, part)]
    return frozenset(name for model in here if _is_model(model) for name in _keys(model))


def _is_model(thing: Any) -> bool:
    return isinstance(thing, type) and issubclass(thing, Strict)


def _inside(thing: Any, part: int | str) -> Iterator[Any]:
    """The types below one part of a place; a union's tag is a part of its own."""
    if get_origin(thing) in {dict, list}:
        yield from _unwrapped(get_args(thing)[-1])
    elif _is_model(thing):
        if part in thing.model_fields:
            yield from _unwrapped(thing.model_fields[part].annotation)
        # pydantic puts a union's tag into the path of a fault, and the file has no level for it; `api_key` is both.
        if any(part in get_args(field.annotation) for field in thing.model_fields.values()):
            yield thing


def _unwrapped(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _unwrapped(get_args(annotation)[0])
    elif origin in {Union, UnionType}:
        for inner in get_args(annotation):
            yield from _unwrapped(inner)
    elif origin is not Literal:
        yield annotation


def _models(model: Any, place: str = "", above: tuple[Any, ...] = ()) -> Iterator[tuple[str, type[Strict]]]:
    """A model and all that it is made of, each with its place."""
    for inner in _unwrapped(model):
        if get_origin(inner) is dict:
            yield from _models(get_args(inner)[-1], f"{place}.NAME", above)
        elif get_origin(inner) is list:
            yield from _models(get_args(inner)[-1], place, above)
        elif _is_model(inner) and inner not in above:
            yield place.strip("."), inner
            for name, field in inner.model_fields.items():
                yield from _models(field.annotation, f"{place}.{field.alias or name}", (*above, inner))
