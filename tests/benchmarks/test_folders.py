"""Data folders by their names, and the same with class names alone."""

from __future__ import annotations

import pytest
from conftest import write_course_layout, write_reference_layout

from benchmarks.folders import folder_name, has_keywords, name_folders, without_keywords
from teleclass.data.dataset import read_dataset
from teleclass.data.gold import gold_file, read_gold
from teleclass.errors import TeleclassError


@pytest.mark.parametrize("write", [write_course_layout, write_reference_layout])
def test_the_folder_with_names_alone_lacks_the_keywords_and_nothing_else(tmp_path, write):
    folder = write(tmp_path / "data")
    (folder / "class_descriptions.txt").write_text("fruit\twhat grows on trees\n", "utf-8")
    (folder / "train" / "enrichment.txt").write_text("fruit:pear\n", "utf-8")
    before = read_dataset(folder)
    assert before.taxonomy.keywords
    assert before.taxonomy.descriptions
    alone = read_dataset(without_keywords(folder, tmp_path / "alone"))
    assert (alone.taxonomy.keywords, alone.taxonomy.descriptions) == ({}, {})
    assert alone.taxonomy.names == before.taxonomy.names
    assert alone.corpus == before.corpus
    for split in ("train", "test"):
        path = gold_file(alone.folder, alone.layout, split)
        assert read_gold(path, alone.taxonomy) == read_gold(gold_file(folder, before.layout, split), before.taxonomy)
    gone = {file.name for file in folder.rglob("*.txt")} - {file.name for file in alone.folder.rglob("*.txt")}
    assert gone == {before.layout.keywords.split("/")[-1], "class_descriptions.txt", "enrichment.txt"}
    assert has_keywords(folder)
    assert not has_keywords(alone.folder)


def test_key_terms_of_the_other_layout_are_left_out_too(data_dir, tmp_path):
    (data_dir / "train" / "llm_enrichment.txt").write_text("fruit:pear\n", "utf-8")
    assert not (without_keywords(data_dir, tmp_path / "alone") / "train" / "llm_enrichment.txt").exists()


def test_it_is_made_anew_and_the_data_folder_stays_whole(data_dir, tmp_path):
    copy = without_keywords(data_dir, tmp_path / "alone")
    (copy / "class_related_keywords.txt").write_text("fruit:pear\n", "utf-8")
    without_keywords(data_dir, copy)
    assert not (copy / "class_related_keywords.txt").exists()
    assert (data_dir / "train" / "train_corpus.txt").stat().st_size > 0


def test_folders_are_named_by_their_last_part(tmp_path, monkeypatch):
    write_course_layout(tmp_path / "one")
    monkeypatch.chdir(tmp_path / "one")
    assert name_folders(["."]) == {"one": tmp_path / "one"}
    assert name_folders([".", "../one"]) == {"one": tmp_path / "one"}


def test_two_folders_of_one_name_are_refused(tmp_path):
    folders = [str(write_course_layout(tmp_path / parent / "one")) for parent in ("a", "b")]
    with pytest.raises(TeleclassError, match="two data folders are called 'one'"):
        name_folders(folders)


def test_a_folder_without_data_is_refused(tmp_path):
    with pytest.raises(TeleclassError, match="holds no"):
        name_folders([str(tmp_path)])


def test_a_name_becomes_one_folder():
    assert folder_name("news (names only)") == "news_names_only"
    assert "/" not in folder_name("../x")
