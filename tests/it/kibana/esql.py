"""Reads a list of queries as JSON, and writes what Elasticsearch's grammar of ES|QL has against each."""

import json
import sys

from antlr4 import CommonTokenStream, InputStream
from antlr4.error.ErrorListener import ErrorListener
from esql_parser.EsqlBaseLexer import EsqlBaseLexer
from esql_parser.EsqlBaseParser import EsqlBaseParser


class Complaints(ErrorListener):
    def __init__(self):
        self.all = []

    def syntaxError(self, recognizer, symbol, line, column, message, error):
        self.all.append(f"{line}:{column} {message}")


def complaints(query):
    heard = Complaints()
    lexer = EsqlBaseLexer(InputStream(query))
    parser = EsqlBaseParser(CommonTokenStream(lexer))
    for it in (lexer, parser):
        it.removeErrorListeners()
        it.addErrorListener(heard)
    parser.singleStatement()
    return heard.all


json.dump([complaints(query) for query in json.load(sys.stdin)], sys.stdout)
