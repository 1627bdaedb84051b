from typing import Any

import pytest
from django.db import models
from django.db.migrations import operations
from django.db.migrations.state import ProjectState

from django_devtools.branches.running.rewind import EarlierState

Rows = dict[str, list[str]]


@pytest.fixture
def states() -> list[ProjectState]:
    """The states of a shop: empty, with products, with reviews of them, and with a colour."""
    key = ("id", models.BigAutoField(primary_key=True))
    product = models.ForeignKey("shop.Product", models.CASCADE)
    found = [ProjectState()]
    for operation in (
        operations.CreateModel("Product", [key]),
        operations.CreateModel("Review", [key, ("product", product)]),
        operations.AddField("Product", "colour", models.TextField()),
    ):
        state = found[-1].clone()
        operation.state_forwards("shop", state)
        found.append(state)
    return found


def fields(state: ProjectState) -> Rows:
    """The fields of each rendered model, those that refer to it included."""
    rendered: Any = state.apps
    return {
        model.__name__: sorted(field.name for field in model._meta.get_fields())
        for model in rendered.get_models()
    }


def test_models_are_rendered_when_they_are_asked_for(states: list[ProjectState]) -> None:
    _, _, without_colour, last = states
    assert fields(last) == {"Product": ["colour", "id", "review"], "Review": ["id", "product"]}
    state = EarlierState(without_colour, last)
    assert not state.is_rendered
    assert fields(state) == {"Product": ["id", "review"], "Review": ["id", "product"]}
    assert state.is_rendered


def test_a_step_that_nobody_asked_for_is_left_out(states: list[ProjectState]) -> None:
    _, products, without_colour, last = states
    fields(last)
    skipped = EarlierState(without_colour, last)
    state = EarlierState(products, skipped)
    assert fields(state) == {"Product": ["id"]}
    assert state.is_delayed
    assert not skipped.is_rendered


def test_a_model_is_taken_from_the_later_state_if_it_is_the_same(
    states: list[ProjectState],
) -> None:
    _, _, without_colour, last = states
    fields(last)
    state = EarlierState(without_colour, last)
    assert state.with_model(("shop", "review")) is last
    assert state.with_model(("shop", "product")) is state
    assert not state.is_rendered
    fields(state)
    assert state.with_model(("shop", "review")) is state


def test_a_model_that_is_gone_later_is_taken_from_here(states: list[ProjectState]) -> None:
    _, products, without_colour, _ = states
    fields(products)
    state = EarlierState(without_colour, products)
    assert state.with_model(("shop", "review")) is state


def test_a_clone_goes_its_own_way(states: list[ProjectState]) -> None:
    _, products, _, last = states
    fields(last)
    state = EarlierState(products, last)
    clone = state.clone()
    operations.AddField("Product", "size", models.TextField()).state_forwards("shop", clone)
    assert fields(clone) == {"Product": ["id", "size"]}
    assert fields(state) == {"Product": ["id"]}
    assert fields(state.clone()) == {"Product": ["id"]}


def test_whoever_needs_all_relations_gets_all_models_rendered(states: list[ProjectState]) -> None:
    _, products, _, last = states
    fields(last)
    state = EarlierState(products, last)
    state.clear_delayed_apps_cache()
    assert fields(state) == {"Product": ["id"]}
    assert not state.is_delayed


def test_a_state_that_was_rendered_in_part_is_rendered_anew(states: list[ProjectState]) -> None:
    _, products, _, last = states
    fields(last)
    state = EarlierState(products, last)
    delayed = state.apps
    state.clear_delayed_apps_cache()
    assert fields(state) == {"Product": ["id"]}
    assert state.apps is not delayed
