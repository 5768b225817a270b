from __future__ import annotations

from pipeline.core.record import Layer
from pipeline.tools.docker.images import match

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def test_layers_are_matched_with_the_instructions_that_made_them() -> None:
    history = (("COPY app / # buildkit", 10), ("ENV A=b", 0), ("RUN |1 V=1 /bin/sh -c true # buildkit", 0), ('CMD ["/app"]', 0))
    assert match((A, B), history) == (Layer(A, 10, "COPY app / # buildkit"), Layer(B, 0, "RUN |1 V=1 /bin/sh -c true # buildkit"))


def test_older_engines_write_instructions_in_their_own_way() -> None:
    history = (("/bin/sh -c #(nop) ADD file:1 in / ", 74), ('/bin/sh -c #(nop)  CMD ["bash"]', 0), ("/bin/sh -c apt-get update", 20))
    assert [layer.size for layer in match((A, B), history)] == [74, 20]


def test_a_folder_that_is_there_makes_no_layer() -> None:
    assert match((A,), (("WORKDIR /", 0), ("WORKDIR /app", 0))) == (Layer(A, 0, "WORKDIR /app"),)


def test_an_imported_image_has_a_history_without_words() -> None:
    assert match((A,), (("", 100),)) == (Layer(A, 100, ""),)


def test_sizes_are_not_told_where_the_history_does_not_fit() -> None:
    assert match((A, B), (("COPY a /", 5),)) == (Layer(A, -1), Layer(B, -1))
    assert match((A,), ()) == (Layer(A, -1),)
