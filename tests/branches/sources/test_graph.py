"""The graph of given migrations."""

import random
from typing import Any

import pytest
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.migrations import Migration, operations
from django.db.migrations.exceptions import NodeNotFoundError
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import ProjectState

from django_devtools.branches.schema.operations import comparable_models
from django_devtools.branches.sources.graph import Graph
from django_devtools.branches.sources.loader import variant
from django_devtools.branches.sources.snapshots import Key


def migration(name: str, *dependencies: tuple[str, str], app: str = "shop") -> Migration:
    return variant(Migration(name, app), dependencies=list(dependencies))


def test_dependencies_on_what_is_not_there() -> None:
    broken = {("shop", "b"): migration("b", ("shop", "a"), ("other", "__first__"))}
    assert Graph(broken, ()).ordered([("shop", "b")]) == [("shop", "b")]
    with pytest.raises(NodeNotFoundError, match="Dependency on unknown app: other, of shop"):
        Graph(broken, (), complete=True)
    broken = {("shop", "b"): migration("b", ("shop", "a"))}
    with pytest.raises(NodeNotFoundError, match="nonexistent parent node"):
        Graph(broken, (), complete=True)


def django_plan(graph: Graph, clean_start: bool = False) -> list[Key]:
    """What ``migrate`` would apply, where the database has applied what the graph says."""
    executor = MigrationExecutor.__new__(MigrationExecutor)
    executor.loader = graph
    plan = executor.migration_plan(graph.graph.leaf_nodes(), clean_start)
    return [(migration.app_label, migration.name) for migration, _ in plan]


@pytest.mark.parametrize("seed", range(30))
def test_without_rows_the_order_is_the_one_of_migrate(seed: int) -> None:
    chance = random.Random(seed)
    keys: list[Key] = []
    migrations = {}
    for number in chance.sample(range(100), 20):
        key = (chance.choice("abc"), f"{number:02}")
        parents = chance.sample(keys, min(len(keys), chance.randrange(4)))
        migrations[key] = migration(key[1], *parents, app=key[0])
        keys.append(key)
    squash = migration("squash", *migrations[keys[0]].dependencies, app=keys[0][0])
    squashed = {**migrations, (keys[0][0], "squash"): variant(squash, replaces=keys[:1])}
    for applied in ([], keys[:1], keys[:7], keys):
        graph = Graph(squashed, applied)
        assert graph.ordered(graph.graph.nodes) == django_plan(graph, clean_start=True)
        pending = set(graph.graph.nodes) - graph.applied_nodes()
        assert graph.ordered(pending) == graph.ordered(pending, applied) == django_plan(graph)


def test_the_order_of_rows_wins_over_the_one_of_migrate() -> None:
    keys = [("shop", name) for name in "abcd"]
    graph = Graph({key: migration(key[1]) for key in keys}, keys)
    assert graph.ordered(keys, reversed(keys)) == keys[::-1]
    assert graph.ordered(keys, keys[2:]) == [*keys[2:], *keys[:2]]
    assert graph.ordered(keys) == keys


def test_a_row_that_was_written_late_comes_before_what_depends_on_it() -> None:
    a, b, c, d = keys = [("shop", name) for name in "abcd"]
    chain = {key: migration(key[1]) for key in keys} | {c: migration("c", d)}
    assert Graph(chain, keys).ordered(keys, [a, b, c, d]) == [a, b, d, c]


@pytest.mark.parametrize("is_listed", [True, False])
def test_a_squash_takes_the_place_of_the_last_that_it_replaces(is_listed: bool) -> None:
    a, b, c, d = ("shop", "a"), ("shop", "b"), ("other", "c"), ("other", "d")
    squash = ("shop", "squash")
    nodes = {squash: variant(migration("squash"), replaces=[a, b])}
    nodes |= {key: migration(key[1], app="other") for key in (c, d)}
    # Django writes its row at the end of the run that finds all of them applied.
    rows = [c, a, b, d, *([squash] if is_listed else [])]
    graph = Graph(nodes, rows)
    assert graph.ordered(graph.applied_nodes(), rows) == [c, squash, d]


def test_descendants_and_ancestors() -> None:
    chain = {
        ("shop", "a"): migration("a"),
        ("shop", "b"): migration("b", ("shop", "a")),
        ("shop", "c"): migration("c", ("shop", "b")),
    }
    graph = Graph(chain, ())
    assert graph.descendants([("shop", "b"), ("no", "such")]) == {("shop", "b"), ("shop", "c")}
    assert graph.ancestors([("shop", "b")]) == {("shop", "a"), ("shop", "b")}


KEY = ("shop", "0001_initial")
LINE = [("id", models.AutoField(primary_key=True)), ("code", models.CharField(max_length=10))]
REFERENCE = models.ForeignKey("shop.Product", models.CASCADE, to_field="code")
MODELS = [
    operations.CreateModel("Product", [("code", models.CharField(max_length=10, unique=True))]),
    operations.CreateModel("Line", [*LINE, ("product", REFERENCE)]),
]


def altered(length: int, preserve_default: bool = True) -> operations.AlterField:
    field = models.CharField(max_length=length, unique=True, default="a")
    return operations.AlterField("Product", "code", field, preserve_default)


def both_states(*found: operations.base.Operation) -> tuple[ProjectState, ProjectState]:
    """The state of a graph, and Django's."""
    one = variant(migration("0001_initial"), operations=[*MODELS, *found])
    return Graph({KEY: one}, [KEY]).state([KEY]), one.mutate_state(ProjectState(real_apps=set()))


@pytest.mark.parametrize("preserve_default", [True, False])
def test_altered_fields_are_those_of_django(preserve_default: bool) -> None:
    ours, django = both_states(altered(20), altered(30, preserve_default))
    assert ours == django
    field = ours.models["shop", "product"].fields["code"]
    assert (field.max_length, field.has_default()) == (30, preserve_default)


def renaming() -> list[operations.base.Operation]:
    """Models with references of all kinds, and a rename of the field that some are to."""

    def line(**options: Any) -> models.ForeignKey[Any, Any]:
        return models.ForeignKey("shop.Product", models.CASCADE, **options)

    fields = [
        ("by_code", line(to_field="code")),
        ("by_key", line()),
        ("several", models.ManyToManyField("shop.Product")),
        ("pair", models.ForeignObject("shop.Product", models.CASCADE, ["a", "b"], ["code", "id"])),
        ("code", models.CharField(max_length=10)),
    ]
    unique = {"unique_together": {("code", "id")}}
    return [
        operations.CreateModel("Product", LINE, unique),
        operations.CreateModel("Other", [("text", models.TextField())]),
        operations.CreateModel("Line", fields),
        operations.RenameField("Product", "code", "number"),
    ]


def test_renamed_fields_are_those_of_django() -> None:
    # Django changes the fields of the operations: each state has its own.
    ours, django = (variant(migration("0001_initial"), operations=renaming()) for _ in range(2))
    state = Graph({KEY: ours}, [KEY]).state([KEY])
    expected = django.mutate_state(ProjectState(real_apps=set()))
    assert comparable_models(state, "shop") == comparable_models(expected, "shop")
    assert list(state.models) == list(expected.models)
    fields = state.models["shop", "line"].fields
    assert fields["by_code"].to_fields == ("number",)
    assert fields["by_code"].remote_field.field_name == "number"
    assert fields["pair"].to_fields == ("number", "id")
    together = state.models["shop", "product"].options["unique_together"]
    # Django before 6.0 has lists there.
    assert {*map(tuple, together)} == {("number", "id")}
    with pytest.raises(FieldDoesNotExist):
        state.rename_field("shop", "product", "lost", "found")
    assert list(state.models) == list(expected.models)


def test_what_is_rendered_is_rendered_anew_when_a_field_is_renamed() -> None:
    one = variant(migration("0001_initial"), operations=renaming()[:1])
    state = Graph({KEY: one}, [KEY]).state([KEY])
    assert state.apps.get_model("shop", "Product")._meta.get_field("code")
    state.rename_field("shop", "product", "code", "number")
    assert state.apps.get_model("shop", "Product")._meta.get_field("number")


def test_what_is_rendered_is_rendered_anew_when_a_field_is_altered() -> None:
    ours, _ = both_states()
    assert ours.apps.get_model("shop", "Line")._meta.get_field("product").db_parameters
    altered(40).state_forwards("shop", ours)
    line, product = (ours.apps.get_model("shop", name) for name in ("Line", "Product"))
    assert product._meta.get_field("code").max_length == 40
    assert line._meta.get_field("product").related_model is product


def test_relations_that_are_known_are_kept_up_to_date() -> None:
    ours, django = both_states()
    to_nothing = operations.AlterField("Line", "product", models.CharField(max_length=1))
    for state in (ours, django):
        assert ("shop", "line") in state.relations["shop", "product"]
        to_nothing.state_forwards("shop", state)
    assert ours.relations == django.relations
    assert ("shop", "line") not in ours.relations["shop", "product"]
