"""The template's next revisions, made by the text edits that a person would make."""

import pathlib
import re

TEMPLATE = pathlib.Path(__file__).parents[2] / "cloudformation" / "delivery-graph.yaml"


def shipped() -> str:
    return TEMPLATE.read_text(encoding="utf-8")


def block(text: str, name: str) -> str:
    """One resource, from its name to the next resource (with the comment that stands before that one)."""
    found = re.search(rf"^  {name}:\n(?:(?!^  \w).*\n)*?(?=^  (?:\w|# )|^\w)", text, re.MULTILINE)
    assert found, f"{name} is in the template"
    return found.group()


def replaced(text: str, old: str, new: str) -> str:
    assert text.count(old) >= 1, f"{old!r} is in the template"
    return text.replace(old, new)


def with_second_version(text: str) -> str:
    """Publishes version 2 beside version 1: one more resource, and the publication points at it."""
    first = block(text, "DeliveryGraphV1")
    second = first
    for old, new in [
        ("DeliveryGraphV1", "DeliveryGraphV2"),
        ("graph-v1", "graph-v2"),
        ("Machine: delivery-order, Version: 1", "Machine: delivery-order, Version: 2"),
        ("\n          version: 1\n", "\n          version: 2\n"),
        ("after: P14D", "after: P7D"),
    ]:
        second = replaced(second, old, new)
    text = replaced(text, first, first + second)
    publication = block(text, "GraphPublication")
    return replaced(text, publication, publication.replace("V1", "V2").replace("graph-v1", "graph-v2"))


def routed(text: str, revision: int, live: list[int], shares: dict[int, int]) -> str:
    """Changes the routing document, and nothing else."""
    routing = block(text, "DeliveryGraphRouting")
    head = routing[: routing.index("          revision:")]
    head = re.sub(r"routing-r\d+", f"routing-r{revision}", head)
    active = "".join(f"            - {{version: {version}, weight: {weight}}}\n" for version, weight in shares.items())
    new = f"{head}          revision: {revision}\n          live: {live}\n          active:\n{active}\n"
    return replaced(text, routing, new)


def without_first_version(text: str) -> str:
    """Takes version 1's resource out, when it is no longer live."""
    text = replaced(text, block(text, "DeliveryGraphV1"), "")
    output = block(text + "\nEnd:\n", "GraphV1ConfigurationVersion")
    return replaced(text + "\n", output, "").rstrip("\n") + "\n"
