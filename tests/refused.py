"""What runtimes are known to refuse, by kind of file, recipe and runtime: a pattern of the sentence. Else none may."""

REFUSED: dict[tuple[str, str, str], str] = {}
