"""Recipe files: what is wrong is said with its place; variants; order."""

from __future__ import annotations

import pytest

from base.errors import UsageError
from base.yamlmodel import YamlError
from images.catalogue import load_catalogue
from images.tools import MESON, packages
from tests.unit.images.fake_project import Project


def problems(project: Project) -> list[str]:
    with pytest.raises(YamlError) as caught:
        project.load()
    return [line.removeprefix(f"{project.root}/recipes/") for line in caught.value.problems]


def test_the_projects_own_recipes_load_and_name_their_tools_packages() -> None:
    catalogue = load_catalogue()
    brings = packages()
    for name, recipe in catalogue.recipes.items():
        assert not set(recipe.tools) - set(brings) - {MESON}, name
    assert {"linux-970-stock", "linux-970-fixed", "qemu-10.0", "initramfs-dom0-970-fixed"} <= set(catalogue.names)


def test_an_unknown_key_is_named_with_line_column_and_a_suggestion(project: Project) -> None:
    project.recipe("a", "build:\n  shel: 'true'\n")
    assert problems(project)[0] == "a.yaml:4:3: unknown key 'shel'; did you mean 'shell'?"


def test_an_input_of_no_kind_is_told_which_kinds_there_are(project: Project) -> None:
    project.recipe("a", "inputs:\n  - pakage: x\nbuild: {shell: 'true'}\n")
    (text,) = problems(project)
    assert text.startswith("a.yaml:4:5: ")
    assert "one of these keys is needed: package, closure, source, patched-source, image, file" in text


def test_an_unknown_image_is_named_with_its_place_and_a_suggestion(project: Project) -> None:
    project.recipe("busybox", "build: {shell: 'true'}\n")
    project.recipe("a", "inputs:\n  - image: busibox\nbuild: {shell: 'true'}\n")
    assert problems(project) == ["a.yaml:4:5: there is no image 'busibox'; did you mean 'busybox'?"]


def test_a_cycle_is_shown(project: Project) -> None:
    project.recipe("a", "inputs:\n  - image: b\nbuild: {shell: 'true'}\n")
    project.recipe("b", "inputs:\n  - image: a\nbuild: {shell: 'true'}\n")
    (text,) = problems(project)
    assert text.partition(" ")[0] in ("a.yaml:3:1:", "b.yaml:3:1:")
    assert "recipes need each other: " in text
    assert text.count("->") == 2


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("inputs:\n  - file: guest/none\nbuild: {shell: 'true'}\n", "a.yaml:4:5: there is no file"),
        ("patches: {src: []}\nbuild: {shell: 'true'}\n", "a.yaml:3:11: no input is called 'src'"),
        ("build: {shell: 'true', tree: {}}\n", "a.yaml:3:1: a build needs exactly one of"),
        ("build: {tree: {}}\n", "a.yaml:3:9: a tree is made from exactly one input"),
        ("build: {}\n", "a.yaml:3:1: a build needs exactly one of"),
        ("build:\n  files:\n    x: nope:y\n", "a.yaml:5:5: no input is called 'nope'"),
        ("inputs:\n  - image: b-{flavour}\nbuild: {shell: 'true'}\n", "a.yaml:4:5: unknown variable 'flavour'"),
        ("after: [b]\nbuild: {shell: 'true'}\n", "a.yaml:3:1: there is no image 'b'"),
        ("inputs:\n  - folder: none\nbuild: {shell: 'true'}\n", "a.yaml:4:5: there is nothing in "),
        ("build: {rewrite-sc1: {from: x, to: y, count: 0}}\n", "a.yaml:3:39: "),
    ],
)
def test_other_mistakes_have_a_place(project: Project, body: str, said: str) -> None:
    project.recipe("a", body)
    assert problems(project)[0].startswith(said)


def test_all_problems_of_all_files_are_told_at_once(project: Project) -> None:
    project.recipe("a", "build: {}\n")
    project.recipe("b", "colour: red\nbuild: {shell: 'true'}\n")
    assert [text.partition(":")[0] for text in problems(project)] == ["a.yaml", "b.yaml"]


def test_variants_become_images_with_their_own_inputs_and_patches(project: Project) -> None:
    project.write("patches/p1", "")
    project.write("patches/p2", "")
    project.recipe("src", "variants: {one: , two: }\nbuild: {shell: 'true'}\n")
    project.recipe(
        "a",
        """\
        variants:
          one:
          two: {patches: {s: [p2]}, after: [a-one]}
        inputs: [{image: "src-{variant}", as: s}]
        patches: {s: [p1]}
        build: {shell: 'echo ${HOME}'}
        """,
    )
    catalogue = project.load()
    assert catalogue.needs("a-two") == ["src-two"]
    assert catalogue.recipe("a-one").patches == {"s": ["p1"]}
    assert catalogue.recipe("a-two").patches == {"s": ["p1", "p2"]}
    assert catalogue.recipe("a-two").build.shell == "echo ${HOME}"
    assert catalogue.names.index("a-one") < catalogue.names.index("a-two")


def test_two_recipes_for_one_name_are_refused(project: Project) -> None:
    project.recipe("a-b", "build: {shell: 'true'}\n")
    project.recipe("a", "variants: {b: }\nbuild: {shell: 'true'}\n")
    assert "image 'a-b' is made by" in problems(project)[0]


def test_an_unknown_name_is_a_usage_error_with_a_suggestion(project: Project) -> None:
    project.recipe("kernel", "build: {shell: 'true'}\n")
    with pytest.raises(UsageError, match="did you mean 'kernel'"):
        project.ensure("kernal")


def test_a_recipe_like_another_says_only_what_is_otherwise(project: Project) -> None:
    project.write("patches/p1", "")
    project.write("patches/p2", "")
    project.write("one", "")
    project.write("two", "")
    project.recipe(
        "a",
        """\
        inputs: [{file: one, as: first}, {image: src, as: s}]
        patches: {s: [p1], first: [p1]}
        tools: [tar]
        build: {shell: 'make'}
        """,
    )
    project.recipe("src", "build: {shell: 'true'}\n")
    project.recipe("b", "like: a\ninputs: [{image: src, as: more}, {file: two, as: first}]\npatches: {s: [p2]}\n")
    project.recipe("c", "like: b\ntools: [tar, xz]\nbuild: {shell: 'make c'}\n")
    a, b, c = (project.load().recipe(name) for name in "abc")
    assert [getattr(item, "file", item.handle) for item in b.inputs] == ["two", "s", "more"]
    assert b.patches == {"s": ["p2"], "first": ["p1"]}
    assert (b.tools, b.build) == (a.tools, a.build)
    assert (c.inputs, c.patches, c.tools, c.build.shell) == (b.inputs, b.patches, ["tar", "xz"], "make c")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("like: kernal\n", "b.yaml:3:1: there is no recipe 'kernal'; did you mean 'kernel'?"),
        ("like: flavours\n", "b.yaml:3:1: 'flavours' is several images, by its variants; like which?"),
        ("like: b\n", "b.yaml:3:1: recipes are like each other: b -> b"),
        ("like: kernel\nvariants: {x: }\n", "b.yaml:4:1: unknown key 'variants'; known: "),
        ("like: kernel\npatches: {none: []}\n", "b.yaml:4:11: no input is called 'none'; known: k"),
        # What it has from another stands at `like`, and its own parts where they are written.
        ("like: kernel\ninputs:\n  - image: kernel\n  - image: kernal\n", "b.yaml:6:5: there is no image 'kernal'"),
        ("like: kernel\ninputs:\n  - image: src\n    as: x\n  - image: src\n    as: x\n", "b.yaml:7:5: two inputs"),
        ("like: kernel\nbuild: {files: {x: nope:y}}\n", "b.yaml:4:17: no input is called 'nope'"),
    ],
)
def test_a_mistake_beside_like_has_its_place(project: Project, body: str, said: str) -> None:
    project.recipe("src", "build: {shell: 'true'}\n")
    project.recipe("kernel", "inputs: [{image: src, as: k}]\nbuild: {shell: 'true'}\n")
    project.recipe("flavours", "variants: {one: , two: }\nbuild: {shell: 'true'}\n")
    project.recipe("b", body)
    (text,) = problems(project)
    assert text.startswith(said)


def test_a_mistake_in_the_recipe_that_others_are_like_is_told_once(project: Project) -> None:
    project.recipe("a", "build: {}\n")
    project.recipe("b", "like: a\n")
    project.recipe("c", "like: b\n")
    (text,) = problems(project)
    assert text.startswith("a.yaml:3:1: ")


def test_of_recipes_like_each_other_each_is_told(project: Project) -> None:
    for name, other in (("a", "b"), ("b", "a"), ("c", "a")):
        project.recipe(name, f"like: {other}\n")
    assert problems(project) == [
        "a.yaml:3:1: recipes are like each other: a -> b -> a",
        "b.yaml:3:1: recipes are like each other: b -> a -> b",
    ]
