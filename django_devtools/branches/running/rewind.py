"""Steps back from one state of the models to earlier ones, rendering only what differs."""

from functools import cached_property
from typing import Any

from django.db.migrations.state import ModelState, ProjectState, StateApps
from django.db.migrations.utils import resolve_relation
from django.db.models import Field

ModelKey = tuple[str, str]


class EarlierState(ProjectState):
    """
    A state on the way back. Its models are rendered, out of a later state, only if needed.

    Few operations look at the models that they lead to, and nobody at those after the last one.
    """

    def __init__(self, state: ProjectState, later: ProjectState) -> None:
        """``state`` is what the operations forwards have made; ``later`` is the one to leave."""
        super().__init__(models=state.models, real_apps=state.real_apps)
        self._later: ProjectState | None = later
        if isinstance(later, EarlierState) and not later.is_rendered:
            self._later = later._later

    @property
    def is_rendered(self) -> bool:
        return "apps" in vars(self)

    @cached_property
    def apps(self) -> StateApps:
        later, self._later = self._later, None
        if later is None:
            return super().apps
        rendered = rewind(later, self)
        self.is_delayed = rendered.is_delayed
        return rendered.apps

    def with_model(self, key: ModelKey) -> ProjectState:
        """A state that has a model as this one has it: the later one if its models will do."""
        later = self._later
        if later is None or key not in later.models:
            return self
        one, other = later.models[key], self.models[key]
        is_same = _same_options(one, other) and not _changed_fields(one, other)
        return later if is_same else self

    def clear_delayed_apps_cache(self) -> None:
        super().clear_delayed_apps_cache()
        # Whoever calls this is about to need all models with all their relations.
        self._later = None

    def clone(self) -> ProjectState:
        copy = super().clone()
        return copy if self.is_rendered else EarlierState(copy, self)


def rewind(state: ProjectState, before: ProjectState) -> ProjectState:
    """
    A copy of ``state`` that has the models of ``before``, and only what differs rendered anew.

    As when Django goes forwards, relations of relations may be out of date after that; then the
    state is marked as delayed, and operations that want all models render it again.
    """
    result = state.clone()
    around = _remove_models(result, state.models.keys() - before.models.keys())
    far: set[ModelKey] = set()
    for key, model in before.models.items():
        old = result.models.get(key)
        if old is None:
            result.add_model(model.clone())
            continue
        changed = _changed_fields(old, model)
        if not changed and _same_options(old, model):
            continue
        result.models[key] = model.clone()
        if changed:
            around |= _relations(old)
        # What other models refer to has to be rendered with all of them.
        if any(map(_is_referable, changed)):
            far.add(key)
        else:
            around.add(key)
    if far:
        result.reload_models(list(far), delay=False)
    if around:
        result.reload_models(list(around & result.models.keys()), delay=True)
    return result


def _remove_models(state: ProjectState, keys: set[ModelKey]) -> set[ModelKey]:
    """Remove models from a state. The models that they were related to."""
    around = set()
    for key in keys:
        model = state.models[key]
        around |= _relations(model)
        for name, field in model.fields.items():
            if field.many_to_many:
                state.apps.unregister_model(key[0], f"{key[1]}_{name}")
        state.remove_model(*key)
    return around


def _changed_fields(one: ModelState, other: ModelState) -> "list[Field[Any, Any]]":
    # States share the fields that no operation touched.
    left = {(name, id(field)): field for name, field in one.fields.items()}
    right = {(name, id(field)): field for name, field in other.fields.items()}
    return [field for key, field in (left | right).items() if (key in left) != (key in right)]


def _same_options(one: ModelState, other: ModelState) -> bool:
    return (
        one.bases == other.bases
        and list(one.fields) == list(other.fields)
        and one.options.keys() == other.options.keys()
        and all(one.options[name] is other.options[name] for name in one.options)
    )


def _is_referable(field: "Field[Any, Any]") -> bool:
    return bool(field.is_relation or field.primary_key or field.unique)


def _relations(model: ModelState) -> set[tuple[str, str]]:
    return {
        resolve_relation(field.remote_field.model, model.app_label, model.name_lower)
        for field in model.fields.values()
        if field.is_relation and field.remote_field
    }
