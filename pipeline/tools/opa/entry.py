"""The module that asks: generated Rego in which every (document, package) pair answers with a record of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pipeline.core.policy import VERBS

# A document that is YAML is parsed here, and a Kubernetes list is taken apart. What is no set still answers, with its type; what is
# undefined leaves no record, and `heads` tells which rules there should have been one for.
_ENTRY = """\
package pipeline.entry

answers := {"records": records, "counts": counts, "problems": problems, "heads": heads}

contents[i] := document.content if some i, document in input.documents

contents[i] := yaml.unmarshal(document.yaml) if {
	some i, document in input.documents
	yaml.is_valid(document.yaml)
}

is_list(i) if {
	input.documents[i].yaml
	endswith(contents[i].kind, "List")
	is_array(contents[i].items)
}

objects[i] := contents[i].items if is_list(i)

objects[i] := [content] if {
	some i, content in contents
	not is_list(i)
	not is_empty(i)
}

is_empty(i) if {
	input.documents[i].yaml
	is_null(contents[i])
}

is_of_kubernetes(content) if {
	is_string(content.kind)
	is_string(content.apiVersion)
	not is_array(object.get(content, "items", null))
}

counts[sprintf("%d", [i])] := count(found) if some i, found in objects

problems[sprintf("%d", [i])] := "is not valid YAML" if {
	some i, document in input.documents
	document.yaml
	not yaml.is_valid(document.yaml)
}

problems[sprintf("%d", [i])] := "is not a Kubernetes object: it has no kind or no apiVersion, or is a list within a list" if {
	some i, found in objects
	input.documents[i].kind == "kubernetes"
	some content in found
	not is_of_kubernetes(content)
}

heads[file] contains rule.head.ref[0].value if {
	some file, source in input.sources
	some rule in rego.parse_module(file, source).rules
}

records contains record if {
	some i, found in objects
	some j, content in found
	kind := input.documents[i].kind
	replies := asked[kind] with input as content
	some reply in replies
	record := object.union({"document": i, "object": j}, reply)
}

asked["nothing"] contains {} if false
"""


def entry(packages: Mapping[str, str]) -> str:
    """The module that asks each of `packages` (its name as OPA writes it, and the kind it judges) about every document of its kind."""
    return "\n".join([_ENTRY, *(_ask(package, kind, verb) for package, kind in packages.items() for verb in VERBS)])


def _ask(package: str, kind: str, verb: str) -> str:
    reply = f'{{"package": {json.dumps(package)}, "verb": "{verb}", "type": type_name(value), "value": value}}'
    return f'asked["{kind}"] contains {reply} if value := data.{package}.{verb}\n'
