from __future__ import annotations

import io

from celeriac.utils.graph import DependencyGraph, DOTFormatter


def test_a_graph_is_made_of_pairs() -> None:
    graph = DependencyGraph([("a", ["b", "c"]), ("b", ["c"])])
    assert (list(graph), len(graph), "c" in graph, graph["a"]) == (["a", "b", "c"], 3, True, ["b", "c"])
    assert graph.edges() == ["a", "b"]
    assert dict(graph.items()) == {"a": ["b", "c"], "b": ["c"], "c": []}
    assert graph.topsort() == ["c", "b", "a"]
    assert [graph.valency_of(each) for each in "abcx"] == [3, 1, 0, -1]


def test_graphs_are_joined() -> None:
    graph = DependencyGraph([("a", ["b"])])
    graph.connect(DependencyGraph([("b", ["c"])]))
    assert graph.topsort() == ["c", "b", "a"]


def test_circles_are_survived() -> None:
    graph = DependencyGraph([("a", ["b"]), ("b", ["a"])])
    assert sorted(graph.topsort()) == ["a", "b"]
    assert graph.valency_of("a") == 2
    assert repr(graph).splitlines()[:2] == ["a(2)", "    b(2)"]


def test_a_graph_is_written_for_graphviz() -> None:
    file = io.StringIO()
    DependencyGraph([('say "a"', ["b"])]).to_dot(file)
    assert file.getvalue().splitlines() == [
        "digraph dependencies {",
        '    "say \\"a\\"" [shape=box];',
        '    "b" [shape=ellipse];',
        '    "say \\"a\\"" -> "b";',
        "}",
    ]
    file = io.StringIO()
    DependencyGraph().to_dot(file, DOTFormatter("other"))
    assert file.getvalue() == "digraph other {\n}\n"
