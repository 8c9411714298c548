"""What is encoded for a class."""

from __future__ import annotations

from teleclass.data.layout import COURSE
from teleclass.data.taxonomy import Taxonomy, read_taxonomy
from teleclass.labelling.class_text import class_views, readable, route_of

FOOD, FRUIT, BREAD, TOOLS, KNIVES, LADDERS, BREAD_KNIVES = range(7)


def test_a_class_with_keywords_has_two_templates_and_no_bare_name(taxonomy):
    assert class_views(taxonomy)[FRUIT] == [
        "This text is about fruit: apple, pear, ripe.",
        "This text is about fruit (food > fruit): apple, pear, ripe.",
    ]


def test_a_class_without_keywords_has_its_name_and_two_templates(taxonomy):
    views = class_views(taxonomy)
    assert views[KNIVES] == ["knives", "This text is about knives.", "This text is about knives (tools > knives)."]
    assert views[FOOD] == ["food", "This text is about food.", "This text is about food (food)."]


def test_a_class_with_two_parents_is_written_with_one_whole_path_and_without_underscores(taxonomy):
    name, about, route = class_views(taxonomy)[BREAD_KNIVES]
    assert (name, about) == ("bread knives", "This text is about bread knives.")
    assert route in {
        "This text is about bread knives (food > bread > bread knives).",
        "This text is about bread knives (tools > knives > bread knives).",
    }


def test_there_is_one_list_of_views_a_class_in_the_order_of_the_class_file():
    """The leaf stands first in the file, its root last."""
    upside_down = Taxonomy([5, 3, 1], ["leaf", "inner", "root"], [(1, 0), (2, 1)])
    assert [views[-1] for views in class_views(upside_down)] == [
        "This text is about leaf (root > inner > leaf).",
        "This text is about inner (root > inner).",
        "This text is about root (root).",
    ]


def test_a_description_stands_behind_the_keywords(data_dir):
    (data_dir / "class_descriptions.txt").write_text("Fruit\tgrows on trees\nknives\tblades with a handle\n", "utf-8")
    views = class_views(read_taxonomy(data_dir, COURSE))
    assert views[FRUIT][0] == "This text is about fruit: apple, pear, ripe. grows on trees."
    assert views[KNIVES] == [
        "This text is about knives: blades with a handle.",
        "This text is about knives (tools > knives): blades with a handle.",
    ]


def test_readable_leaves_a_plain_name_alone():
    assert readable("grocery_gourmet_food ") == "grocery gourmet food"
    assert readable("Home & Kitchen") == "Home & Kitchen"


def test_key_terms_stand_in_for_keywords_where_the_user_gave_none(taxonomy):
    """The user's keywords of fruit stay; knives are without, and food has an empty list of terms."""
    views = class_views(taxonomy, {KNIVES: ["blade", "sharp edge"], FRUIT: ["sweet"], FOOD: []})
    assert views[KNIVES] == [
        "This text is about knives: blade, sharp edge.",
        "This text is about knives (tools > knives): blade, sharp edge.",
    ]
    without = class_views(taxonomy)
    assert [views[node] == without[node] for node in range(7)] == [node != KNIVES for node in range(7)]
    assert class_views(taxonomy, {}) == without
    assert KNIVES not in taxonomy.keywords


def test_key_terms_stand_before_a_description(data_dir):
    (data_dir / "class_descriptions.txt").write_text("knives\tblades with a handle\n", "utf-8")
    views = class_views(read_taxonomy(data_dir, COURSE), {KNIVES: ["sharp"]})
    assert views[KNIVES][0] == "This text is about knives: sharp. blades with a handle."


def test_a_route_is_one_path_from_the_root_down():
    """Class 0 lies below 2 first, and below 1 too; names are written as a person would."""
    graph = Taxonomy(range(4), ["a_leaf", "b", "in the_middle", "Top & all"], [(2, 0), (1, 0), (3, 2)])
    assert route_of(graph, 0) == "Top & all > in the middle > a leaf"
    assert route_of(graph, 1) == "b"
