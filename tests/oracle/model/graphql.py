"""What the body of a request asks for: each operation that may be executed, field by field (docs/configuration.md,
match.graphql). The documents are parsed by graphql-core."""

import json
import re
from urllib.parse import unquote_plus

from graphql import GraphQLError, parse
from graphql.language import ast

from .token import constant, unique

FIELDS = 128
BROKEN = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class Unreadable(Exception):
    pass


def fields_of(selections, fragments, seen):
    """The names at the top level, through fragments, regardless of directives and aliases."""
    found = []
    for each in selections.selections:
        if isinstance(each, ast.FieldNode):
            found.append(each.name.value)
        elif isinstance(each, ast.InlineFragmentNode):
            found += fields_of(each.selection_set, fragments, seen)
        else:
            name = each.name.value
            if name not in fragments:
                raise Unreadable(f"fragment {name}")
            if name not in seen:
                seen.add(name)
                found += fields_of(fragments[name].selection_set, fragments, seen)
    return found


def operations_of(document, selected):
    """(operation, name, fields) of each operation that may be executed."""
    try:
        definitions = parse(document, no_location=True).definitions
    except (GraphQLError, RecursionError):
        raise Unreadable("syntax") from None
    operations = [each for each in definitions if isinstance(each, ast.OperationDefinitionNode)]
    fragments = {each.name.value: each for each in definitions if isinstance(each, ast.FragmentDefinitionNode)}
    if len(operations) + len(fragments) != len(definitions) or not operations:
        raise Unreadable("definitions")
    named = [each for each in operations if each.name and each.name.value == selected]
    found = []
    for each in named or operations:
        fields = fields_of(each.selection_set, fragments, set())
        if len(fields) > FIELDS:
            raise Unreadable("fields")
        found.append((each.operation.value, each.name.value if each.name else "", fields))
    return found


def operations_in(request):
    """One GraphQL request as JSON."""
    if not isinstance(request, dict) or not isinstance(request.get("query"), str):
        raise Unreadable("query")
    selected = request.get("operationName")
    if selected is not None and not isinstance(selected, str):
        raise Unreadable("operationName")
    if any(request.get(name) is not None for name in ("id", "documentId", "doc_id", "queryId")):
        raise Unreadable("a stored document")
    extensions = request.get("extensions")
    if isinstance(extensions, dict) and extensions.get("persistedQuery") is not None:
        raise Unreadable("a persisted query")
    return operations_of(request["query"], selected)


def parameters(query):
    """The pairs of a query string, or Unreadable."""
    found = []
    if BROKEN.search(query):
        raise Unreadable("query string")
    # Some servers split at `;` too.
    for pair in query.decode().split("&") + (re.split("[&;]", query.decode()) if b";" in query else []):
        if pair:
            name, _, value = pair.partition("=")
            found.append((unquote_plus(name, errors="strict"), unquote_plus(value, errors="strict")))
    return found


def read(request, body, limit):
    """Every operation that a request may execute, or Unreadable."""
    if not body:
        if request.query is None:
            raise Unreadable("nothing")
        return read_query(request.query)
    if request.query is not None and "query" in dict(parameters(request.query)):
        raise Unreadable("both")
    if len(body) > limit:
        raise Unreadable("long")
    types = request.values("content-type")
    content_type = types[0].decode("latin-1").split(";")[0].strip().lower() if len(types) == 1 else ""
    if content_type == "application/graphql":
        return operations_of(body.decode(), None)
    if content_type != "application/json":
        raise Unreadable("content type")
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=unique, parse_constant=constant)
    except (ValueError, RecursionError):
        raise Unreadable("JSON") from None
    if isinstance(value, list):
        if not value:
            raise Unreadable("batch")
        return [each for request in value for each in operations_in(request)]
    return operations_in(value)


def read_query(query):
    if b";" in query:
        raise Unreadable("two readings")
    pairs = parameters(query)
    documents = [value for name, value in pairs if name == "query"]
    selected = [value for name, value in pairs if name == "operationName"]
    if len(documents) != 1 or len(selected) > 1:
        raise Unreadable("parameters")
    return operations_of(documents[0], selected[0] if selected else None)
