"""The order of applied migrations whose texts name what is not applied any more."""

from django.db import migrations, models

from django_devtools.branches.planning.dependencies import with_lost_dependencies, with_names
from django_devtools.branches.sources.snapshots import Key
from tests.branches.planning.values import History, add, after, create, key, line, remove

GONE = key("gone")


def dependencies(history: History, name: Key) -> list[Key]:
    return [
        parent for parent in with_lost_dependencies(history)[name].dependencies if parent != GONE
    ]


def test_nothing_is_added_where_nothing_is_lost() -> None:
    history = line(m1=create(), m2=add("a"))
    assert with_lost_dependencies(history) == history


def test_several_names_may_take_the_place_of_one() -> None:
    history = line(m1=create(), m2=add("a"), m3=add("b"))
    found = with_names(history, {key("m1"): [key("n1"), key("n2"), key("m2")]})
    assert found[key("m2")].dependencies == [key("n1"), key("n2")]
    assert found[key("m3")] is history[key("m3")]


def test_it_depends_on_what_makes_its_model() -> None:
    history = after(line(m2=add("a")), key("m2"), GONE) | line(m1=create())
    assert dependencies(history, key("m2")) == [key("m1")]


def test_it_depends_on_what_makes_its_field() -> None:
    history = line(m1=create(), m2=add("a")) | after(line(m3=remove("a")), key("m3"), GONE)
    assert dependencies(history, key("m3")) == [key("m1"), key("m2")]


def test_it_depends_on_what_makes_the_model_that_it_refers_to() -> None:
    order = migrations.AddField(
        "order", "product", models.ForeignKey("shop.Product", models.CASCADE)
    )
    history = after(line("crm", o1=create("Order"), o2=order), key("o2", "crm"), GONE)
    history |= line(m1=create())
    assert dependencies(history, key("o2", "crm")) == [key("o1", "crm"), key("m1")]


def test_it_depends_on_what_renamed_its_model_and_its_field() -> None:
    renames: list[migrations.operations.base.Operation] = [
        migrations.RenameModel("Thing", "Product"),
        migrations.RenameField("product", "b", "a"),
    ]
    history = line(m1=create("Thing", "b"), m2=renames)
    history |= after(line(m3=[remove("a"), migrations.DeleteModel("Product")]), key("m3"), GONE)
    assert dependencies(history, key("m3")) == [key("m2")]


def test_it_does_not_depend_on_what_depends_on_it() -> None:
    history = after(line(m2=add("a"), m3=create()), key("m2"), GONE)
    assert dependencies(history, key("m2")) == []


def test_what_it_makes_itself_it_does_not_need() -> None:
    index = migrations.AddIndex("product", models.Index(fields=["a"], name="i"))
    nested = migrations.SeparateDatabaseAndState(state_operations=[create("Product", "a"), index])
    history = after(line(m2=nested), key("m2"), GONE) | line(m1=create())
    assert dependencies(history, key("m2")) == []
    history = after(line(m2=index), key("m2"), GONE) | line(m1=create())
    assert dependencies(history, key("m2")) == [key("m1")]


def test_what_is_above_a_lost_dependency_needs_what_was_below_it() -> None:
    history = after(line(m2=create("Other"), m3=add("a")), key("m2"), GONE) | line(m1=create())
    assert dependencies(history, key("m3")) == [key("m2"), key("m1")]


def test_it_depends_on_what_it_came_after_before_it_was_moved() -> None:
    history = after(line(m2=create("Other")), key("m2"), GONE) | line(m1=create())
    former = after(line(m2=create("Other")), key("m2"), key("m1"))
    found = with_lost_dependencies(history, former)
    assert found[key("m2")].dependencies == [GONE, key("m1")]


def test_it_does_not_depend_on_what_it_came_after_if_that_is_above_it_now() -> None:
    history = after(line(m2=create("Other"), m1=create()), key("m2"), GONE)
    former = after(line(m2=create("Other")), key("m2"), key("m1"))
    assert with_lost_dependencies(history, former) == history
