"""How commands are found in a document's block."""

from tests.support.docs import Block, Command, commands


def test_commands_of_a_block():
    text = "$ export A=1\n$ a \"b # c\" && d   # a comment\nout\n\n$ # nothing\n$ e \\\n    --f g\n$ h 'i\n  j'\nk\nl\n"
    assert commands(Block("x.md", 10, "console", text)) == [
        Command("x.md:12", 'a "b # c"', (), ("export A=1",)),
        Command("x.md:12", "d", ("out",), ("export A=1",)),
        Command("x.md:16", "e --f g", (), ("export A=1",)),
        Command("x.md:18", "h 'i j'", ("k", "l"), ("export A=1",)),
    ]
    assert [each.text for each in commands(Block("x.md", 1, "sh", "a\n# b\nc d\n"))] == ["a", "c d"]
    assert commands(Block("x.md", 1, "python", "print(1)\n")) == []
