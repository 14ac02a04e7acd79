#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Validates documents against the schemas in this folder.

usage: validate.py [--strict] SCHEMA DOCUMENT...

SCHEMA is a name here, without ".json". A DOCUMENT that ends in ".ndjson" has one in each line.
With --strict it also checks that the schema notices each key that is missing in a document, and
each that is added: a schema that lets anything through proves nothing.
"""
import copy
import glob
import json
import os
import sys

import jsonschema


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def is_integer(_, value):
    """JSON Schema takes 1.0 for one; a program that reads it may not."""
    return isinstance(value, int) and not isinstance(value, bool)


def make_validator(name):
    here = os.path.dirname(os.path.abspath(__file__))
    store = {}
    for path in glob.glob(os.path.join(here, "*.json")):
        schema = load(path)
        jsonschema.Draft202012Validator.check_schema(schema)
        if schema["$id"] != os.path.basename(path):
            sys.exit(f"{path}: its $id is {schema['$id']}")
        store[schema["$id"]] = schema
    schema = store[name + ".json"]
    resolver = jsonschema.RefResolver(base_uri=schema["$id"], referrer=schema, store=store)
    draft = jsonschema.Draft202012Validator
    strict = jsonschema.validators.extend(
        draft, type_checker=draft.TYPE_CHECKER.redefine("integer", is_integer))
    return strict(schema, resolver=resolver)


def documents(path):
    if not path.endswith(".ndjson"):
        return [load(path)]
    with open(path, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    if not lines:
        sys.exit(f"{path}: no line")
    return lines


def objects(document, path=()):
    """The path of each object; names of pools are no keys, and parameters may be there or not."""
    if isinstance(document, dict):
        if not path or path[-1] not in ("pools", "parameters"):
            yield path
        for key, value in document.items():
            yield from objects(value, path + (key,))
    elif isinstance(document, list):
        for index, value in enumerate(document[:1]):  # one is like the other
            yield from objects(value, path + (index,))


def at(document, path):
    for step in path:
        document = document[step]
    return document


def check_strict(validator, document):
    for path in objects(document):
        for key in list(at(document, path)) + ["of_nobody"]:
            changed = copy.deepcopy(document)
            if key == "of_nobody":
                at(changed, path)[key] = 1
            elif key != "run":  # there or not, as the verb is
                del at(changed, path)[key]
            if key != "run" and validator.is_valid(changed):
                sys.exit(f"nobody notices what is done to {path}, {key}")


def main():
    words = sys.argv[1:]
    strict = words[0] == "--strict"
    words = words[strict:]
    validator = make_validator(words[0])
    for path in words[1:]:
        for document in documents(path):
            for error in validator.iter_errors(document):
                sys.exit(f"{path}: {list(error.absolute_path)}: {error.message}")
            if strict:
                check_strict(validator, document)


main()
