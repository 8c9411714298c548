"""The class graph: reading it, refusing what is no taxonomy, and walking it."""

from __future__ import annotations

from itertools import pairwise

import networkx as nx
import pytest
from conftest import CLASSES, write_lines
from hypothesis import given, settings
from hypothesis import strategies as st

from teleclass.data import taxonomy as taxonomy_module
from teleclass.data.layout import COURSE
from teleclass.data.taxonomy import Taxonomy, read_taxonomy
from teleclass.errors import InputError

FOOD, FRUIT, BREAD, TOOLS, KNIVES, LADDERS, BREAD_KNIVES = range(7)
PATHS = {(FOOD, FRUIT), (TOOLS, LADDERS), (FOOD, BREAD, BREAD_KNIVES), (TOOLS, KNIVES, BREAD_KNIVES)}


def graph_of(n_classes: int, edges) -> Taxonomy:
    return Taxonomy(range(n_classes), [f"c{number}" for number in range(n_classes)], edges)


def read(folder) -> Taxonomy:
    return read_taxonomy(folder, COURSE)


# --- the seven classes of conftest, by hand


def test_a_class_has_the_position_of_its_line(taxonomy):
    assert taxonomy.ids == list(CLASSES)
    assert taxonomy.names == list(CLASSES.values())
    assert taxonomy.position == {10: 0, 11: 1, 12: 2, 20: 3, 21: 4, 22: 5, 30: 6}
    assert taxonomy.n_classes == 7


def test_several_roots_and_several_parents(taxonomy):
    assert set(taxonomy.roots) == {FOOD, TOOLS}
    assert set(taxonomy.leaves) == {FRUIT, LADDERS, BREAD_KNIVES}
    assert set(taxonomy.parents(BREAD_KNIVES)) == {BREAD, KNIVES}
    assert set(taxonomy.children(TOOLS)) == {KNIVES, LADDERS}


def test_ancestors_and_descendants_reach_over_every_parent(taxonomy):
    assert taxonomy.ancestors(BREAD_KNIVES) == {BREAD, KNIVES, FOOD, TOOLS}
    assert taxonomy.descendants(FOOD) == {FRUIT, BREAD, BREAD_KNIVES}
    assert taxonomy.ancestors(FOOD) == taxonomy.descendants(FRUIT) == frozenset()


def test_close_adds_the_ancestors_over_all_parents(taxonomy):
    assert taxonomy.close([BREAD_KNIVES]) == {FOOD, BREAD, TOOLS, KNIVES, BREAD_KNIVES}
    assert taxonomy.close(iter([FRUIT, FOOD])) == {FOOD, FRUIT}
    assert taxonomy.close([]) == set()


@pytest.mark.parametrize(
    ("nodes", "closed"),
    [
        (set(), True),
        ({FOOD}, True),
        ({FRUIT}, False),
        ({FOOD, BREAD, BREAD_KNIVES}, True),  # one of the two parents is enough
        ({FOOD, TOOLS, BREAD_KNIVES}, False),  # a grandparent is no parent
        ({BREAD, BREAD_KNIVES}, False),  # bread itself lacks food
    ],
)
def test_a_set_is_closed_when_each_class_is_a_root_or_has_a_parent_in_it(taxonomy, nodes, closed):
    assert taxonomy.is_closed(nodes) is closed


def test_a_class_with_two_parents_ends_two_paths(taxonomy):
    assert len(taxonomy.paths()) == 4
    assert set(taxonomy.paths()) == PATHS


def test_siblings_are_the_other_children_of_all_parents_and_roots_are_siblings(taxonomy):
    assert taxonomy.siblings(FRUIT) == [BREAD]
    assert taxonomy.siblings(TOOLS) == [FOOD]
    assert taxonomy.siblings(BREAD_KNIVES) == []
    both = graph_of(6, [(0, 5), (1, 5), (1, 4), (0, 3), (0, 4)])
    assert both.siblings(5) == [3, 4]
    assert both.siblings(3) == [4, 5]
    assert both.siblings(0) == [1, 2]
    assert graph_of(1, []).siblings(0) == []


def test_the_first_path_follows_first_parents_up_to_a_root(taxonomy):
    """The hierarchy names bread before knives as a parent of bread knives."""
    assert taxonomy.first_path(BREAD_KNIVES) == (FOOD, BREAD, BREAD_KNIVES)
    assert taxonomy.first_path(TOOLS) == (TOOLS,)
    assert graph_of(4, [(2, 0), (1, 0), (3, 2)]).first_path(0) == (3, 2, 0)
    assert graph_of(5000, [(node + 1, node) for node in range(4999)]).first_path(0) == tuple(reversed(range(5000)))


def test_paths_may_stop_at_inner_classes(taxonomy):
    inner = {(FOOD,), (TOOLS,), (FOOD, BREAD), (TOOLS, KNIVES)}
    assert len(taxonomy.paths(stop_at_inner=True)) == 8
    assert set(taxonomy.paths(stop_at_inner=True)) == PATHS | inner


def test_levels_start_at_one(taxonomy):
    assert taxonomy.levels.tolist() == [1, 2, 2, 1, 2, 2, 3]


def test_the_highest_of_several_parents_sets_the_level():
    """0 > 1 > 2 > 3 and 0 > 3: the last has a parent on level 1 and one on level 3."""
    assert graph_of(4, [(0, 1), (1, 2), (2, 3), (0, 3)]).levels.tolist() == [1, 2, 3, 2]


def test_an_edge_may_come_before_the_edge_of_its_own_parent():
    """4 > 3 > 2 > 1 > 0, from the bottom up: one pass over the edges in file order would get the levels wrong."""
    chain = graph_of(5, [(1, 0), (2, 1), (3, 2), (4, 3)])
    assert chain.levels.tolist() == [5, 4, 3, 2, 1]
    assert chain.paths() == [(4, 3, 2, 1, 0)]
    assert chain.ancestors(0) == {1, 2, 3, 4}


def test_a_class_in_no_edge_is_root_leaf_and_path():
    alone = graph_of(3, [(0, 1)])
    assert 2 in alone.roots
    assert 2 in alone.leaves
    assert (2,) in alone.paths()
    assert alone.levels[2] == 1
    assert alone.is_closed({2})


def test_the_summary_counts_what_is_out_of_the_ordinary(data_dir):
    (data_dir / "classes.txt").write_text((data_dir / "classes.txt").read_text() + "40\tgifts\n")
    # roots: food, tools, gifts; leaves: fruit, ladders, bread_knives, gifts; keywords for 3 of 8
    assert read(data_dir).summary() == (
        "8 classes on 3 levels, 3 roots, 4 leaves, 1 with several parents, 1 in no edge, 5 without keywords"
    )


# --- sizes


def test_a_chain_of_5000_classes_needs_no_recursion(data_dir):
    n_classes = 5_000
    write_lines(data_dir / "classes.txt", {number: f"c{number}" for number in range(n_classes)})
    write_lines(data_dir / "class_hierarchy.txt", {number: number + 1 for number in range(n_classes - 1)})
    (data_dir / "class_related_keywords.txt").unlink()
    chain = read(data_dir)
    assert chain.levels[-1] == n_classes
    assert len(chain.close([n_classes - 1])) == n_classes
    assert len(chain.descendants(0)) == n_classes - 1
    assert chain.paths() == [tuple(range(n_classes))]


def test_a_cycle_of_5000_classes_needs_no_recursion():
    n_classes = 5_000
    with pytest.raises(InputError, match="has a cycle: c"):
        graph_of(n_classes, [(number, (number + 1) % n_classes) for number in range(n_classes)])


def test_an_explosion_of_paths_is_refused(data_dir):
    """13 layers of 3 classes, each under all of the layer above: 3^13 = 1,594,323 paths through 39 classes."""
    write_lines(data_dir / "classes.txt", {number: f"c{number}" for number in range(39)})
    edges = [(3 * layer + a, 3 * layer + 3 + b) for layer in range(12) for a in range(3) for b in range(3)]
    (data_dir / "class_hierarchy.txt").write_text("".join(f"{parent}\t{child}\n" for parent, child in edges))
    (data_dir / "class_related_keywords.txt").unlink()
    with pytest.raises(InputError, match="has 1,594,323 root-to-leaf paths, more than 500,000") as fault:
        read(data_dir)
    assert fault.value.file == str(data_dir / "class_hierarchy.txt")


def test_the_limit_of_paths_itself_is_allowed(monkeypatch):
    """0 > 1, 2 > 3 > 4, 5 > 6: two diamonds on end have 2 * 2 paths, a further root makes five."""
    diamonds = [(0, 1), (0, 2), (1, 3), (2, 3), (3, 4), (3, 5), (4, 6), (5, 6)]
    monkeypatch.setattr(taxonomy_module, "MAX_PATHS", 4)
    assert len(graph_of(7, diamonds).paths()) == 4
    with pytest.raises(InputError, match="has 5 root-to-leaf paths"):
        graph_of(8, diamonds)


# --- files


@pytest.mark.parametrize(
    ("name", "content", "line", "problem"),
    [
        ("classes.txt", "10\tfood\n11 fruit\n", 2, "expected id<TAB>name"),
        ("classes.txt", "10\tfood\n\n11\tfruit\n10\tbread\n", 4, "class id 10 stands already in line 1"),
        ("classes.txt", "0\tfood\n00\tfruit\n", 2, "class id 0 stands already in line 1"),
        ("classes.txt", "10\tfood\n11\tfruit\n12\tfood\n", 3, "class name 'food' stands already in line 1"),
        (
            "classes.txt",
            "10\tbread_knives\n11\tBread knives\n",
            2,
            "class name 'Bread knives' stands already in line 1",
        ),
        ("classes.txt", "10\tfood\n11\t \n", 2, "class 11 has no name"),
        ("classes.txt", "10\tfood\n١١\tfruit\n", 2, "class id '١١' is not a whole number"),
        ("classes.txt", "10\tfood\n1_000\tfruit\n", 2, "class id '1_000' is not a whole number"),
        ("classes.txt", "10\tfood\n+3\tfruit\n", 2, "class id '+3' is not a whole number"),
        ("classes.txt", "", None, "holds no class"),
        ("class_hierarchy.txt", "10\t11\n10 12\n", 2, "expected parent<TAB>child"),
        ("class_hierarchy.txt", "10\t11\n10\t99\n", 2, "class 99 is not in the class file"),
        ("class_hierarchy.txt", "10\t11\n99\t12\n", 2, "class 99 is not in the class file"),
        ("class_hierarchy.txt", "10\t11\nfood\t12\n", 2, "class id 'food' is not a whole number"),
        ("class_hierarchy.txt", "10\t11\t12\n", 1, "is not a whole number"),
        ("class_hierarchy.txt", "10\t11\n\n12\t12\n", 3, "class 12 (bread) is its own parent"),
        ("class_related_keywords.txt", "fruit:pear\nmeat:ham\n", 2, "class 'meat' is not in the class file"),
        ("class_related_keywords.txt", "fruit:pear\nbread\n", 2, "expected name:keyword,keyword"),
        ("class_descriptions.txt", "fruit\tripe\nmeat\tred\n", 2, "class 'meat' is not in the class file"),
        ("class_descriptions.txt", "fruit: ripe\n", 1, "expected name<TAB>description"),
    ],
)
def test_a_broken_file_is_told_with_file_and_line(data_dir, name, content, line, problem):
    (data_dir / name).write_text(content, "utf-8")
    with pytest.raises(InputError) as fault:
        read(data_dir)
    assert (fault.value.file, fault.value.line) == (str(data_dir / name), line)
    assert problem in fault.value.problem


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("class_related_keywords.txt", "fruit:pear\n\nbread:loaf\nFRUIT:apple\n"),
        ("class_descriptions.txt", "fruit\tripe\n\nbread\tbaked\nFRUIT\tsweet\n"),
    ],
)
def test_a_second_line_for_a_class_names_both_lines(data_dir, name, content):
    (data_dir / name).write_text(content, "utf-8")
    with pytest.raises(InputError, match="line 1") as fault:
        read(data_dir)
    assert (fault.value.file, fault.value.line) == (str(data_dir / name), 4)


def test_a_cycle_is_printed_by_name(data_dir):
    """fruit stands above the cycle and is not part of it."""
    (data_dir / "class_hierarchy.txt").write_text("11\t10\n10\t20\n20\t30\n30\t10\n")
    with pytest.raises(InputError) as fault:
        read(data_dir)
    circles = [["food", "tools", "bread_knives"], ["tools", "bread_knives", "food"], ["bread_knives", "food", "tools"]]
    printed = fault.value.problem.split("has a cycle: ")[1].split(";")[0].split(" > ")
    assert printed[:-1] in circles
    assert printed[-1] == printed[0]
    assert fault.value.file == str(data_dir / "class_hierarchy.txt")


@pytest.mark.parametrize("name", ["classes.txt", "class_hierarchy.txt"])
def test_classes_and_edges_are_needed(data_dir, name):
    (data_dir / name).unlink()
    with pytest.raises(InputError, match="does not exist") as fault:
        read(data_dir)
    assert fault.value.file == str(data_dir / name)


def test_keywords_and_descriptions_may_be_absent(data_dir):
    (data_dir / "class_related_keywords.txt").unlink()
    taxonomy = read(data_dir)
    assert taxonomy.keywords == taxonomy.descriptions == {}


def test_a_repeated_edge_counts_once(data_dir):
    (data_dir / "class_hierarchy.txt").write_text("10\t11\n10\t11\n")
    assert len(read(data_dir).paths()) == 6  # food > fruit, and five classes alone


def test_keywords_are_split_and_found_by_any_spelling_of_the_name(data_dir):
    (data_dir / "class_related_keywords.txt").write_text(
        "Bread Knives: saw_tooth , crust,,\nfruit:a:b\nbread:\nfood: ,\n"
    )
    (data_dir / "class_descriptions.txt").write_text("bread_knives\tA knife: long, toothed.\nfruit\t\n")
    taxonomy = read(data_dir)
    assert taxonomy.keywords == {BREAD_KNIVES: ["saw tooth", "crust"], FRUIT: ["a:b"]}
    assert taxonomy.descriptions == {BREAD_KNIVES: "A knife: long, toothed."}


# --- any graph


@st.composite
def graphs(draw) -> Taxonomy:
    """Edges from lower to higher index, then the classes in any order."""
    n_classes = draw(st.integers(1, 8))
    possible = [(low, high) for high in range(n_classes) for low in range(high)]
    edges = draw(st.lists(st.sampled_from(possible), unique=True)) if possible else []
    place = draw(st.permutations(range(n_classes)))
    return graph_of(n_classes, [(place[parent], place[child]) for parent, child in edges])


@st.composite
def graphs_with_sets(draw) -> tuple[Taxonomy, set[int], set[int]]:
    graph = draw(graphs())
    some = st.sets(st.integers(0, graph.n_classes - 1))
    return graph, draw(some), draw(some)


@settings(max_examples=60, deadline=None)
@given(graphs_with_sets())
def test_closing_is_idempotent_monotone_and_gives_closed_sets(drawn):
    graph, first, second = drawn
    closed = graph.close(first)
    assert first <= closed
    assert graph.close(closed) == closed
    assert closed <= graph.close(first | second)
    assert graph.is_closed(closed)
    assert all(set(graph.parents(node)) <= closed for node in closed)
    assert closed == first.union(*(nx.ancestors(graph.graph, node) for node in first))


@settings(max_examples=60, deadline=None)
@given(graphs_with_sets())
def test_a_set_is_closed_when_its_roots_reach_all_of_it_inside_it(drawn):
    graph, nodes, _ = drawn
    inside = graph.graph.subgraph(nodes)
    roots = nodes & set(graph.roots)
    reached = roots.union(*(nx.descendants(inside, root) for root in roots))
    assert graph.is_closed(nodes) == (reached == nodes)


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_ancestors_and_descendants_mirror_each_other_and_match_networkx(graph):
    for node in range(graph.n_classes):
        assert graph.ancestors(node) == nx.ancestors(graph.graph, node)
        assert graph.descendants(node) == nx.descendants(graph.graph, node)
        for other in range(graph.n_classes):
            assert (other in graph.ancestors(node)) == (node in graph.descendants(other))


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_levels_count_the_classes_of_the_shortest_way_from_a_root(graph):
    steps = nx.multi_source_dijkstra_path_length(graph.graph, set(graph.roots))
    assert graph.levels.tolist() == [1 + steps[node] for node in range(graph.n_classes)]


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_paths_go_from_roots_along_edges_to_leaves_and_are_all_there(graph):
    paths = graph.paths()
    for path in paths:
        assert graph.parents(path[0]) == []
        assert graph.children(path[-1]) == []
        assert all(graph.graph.has_edge(*edge) for edge in pairwise(path))
    alone = {(node,) for node in nx.isolates(graph.graph)}
    joined = {
        tuple(path)
        for root in set(graph.roots) - set(graph.leaves)
        for path in nx.all_simple_paths(graph.graph, root, set(graph.leaves))
    }
    assert set(paths) == alone | joined
    assert len(paths) == len(set(paths)) == graph._count_paths()
    beginnings = {path[:length] for path in paths for length in range(1, len(path) + 1)}
    inner = graph.paths(stop_at_inner=True)
    assert set(inner) == beginnings
    assert len(inner) == len(beginnings)


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_siblings_are_mutual_and_first_paths_are_paths(graph):
    every = graph.paths(stop_at_inner=True)
    for node in range(graph.n_classes):
        assert node not in graph.siblings(node)
        assert all(node in graph.siblings(other) for other in graph.siblings(node))
        assert graph.first_path(node) in every
        assert graph.first_path(node)[-1] == node
