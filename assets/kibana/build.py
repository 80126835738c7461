#!/usr/bin/env python3
"""Writes stopover.ndjson and rules/*.json, the files for Kibana beside it. Takes a directory to write to instead.

Names of fields stand here alone. What is sent is called as Elastic APM stores it: attributes are `labels.*` and, where they are numbers,
`numeric_labels.*`, with underscores for dots; metrics keep their names.
"""

import json
import pathlib
import sys

TRACES, METRICS, LOGS = "stopover-traces", "stopover-metrics", "stopover-logs"
INDICES = {TRACES: "traces-apm*", METRICS: "metrics-apm.app.*", LOGS: "logs-*,filebeat-*"}

TIME = "@timestamp"
ENVIRONMENT = "service.environment"
MIGRATION = "labels.stopover_migration"
RUN = "labels.stopover_run"
STATE = "labels.stopover_state"
OPERATOR = "labels.stopover_operator"
RUN_STATE = "labels.stopover_run_state"
HOLD_REASON = "labels.stopover_hold_reason"
TRACE, POD = "trace.id", "service.node.name"
NAME, KIND, RESULT, TOOK = "transaction.name", "transaction.type", "transaction.result", "transaction.duration.us"
SPAN_TOOK = "span.duration.us"
LEVEL, MESSAGE, EVENT = "log.level", "message", "processor.event"
ERROR_TYPE, ERROR_MESSAGE = "error.exception.type", "error.exception.message"

RUNS = "stopover.runs"
DONE = "stopover.documents.done"
PROCESSED = "stopover.documents.processed"
RATE = "stopover.documents.rate"
REMAINING = "stopover.remaining"
QUARANTINED = "stopover.documents.quarantined"
RETRIES = "stopover.batch.retries"
BATCH = "stopover.batch.duration"
RENEWAL = "stopover.lease.renewal.duration"
RENEWALS = "stopover.lease.renewals"
HELD = "stopover.hold.time"
LINES_DROPPED = "stopover.mirror.lines_dropped"
TELEMETRY_DROPPED = "stopover.telemetry.dropped"

# The version of Kibana whose shapes these are: later ones migrate them.
CORE, DATA_VIEW_SHAPE, SEARCH_SHAPE, DASHBOARD_SHAPE, PANEL_SHAPE = "8.8.0", "8.0.0", "8.0.0", "8.9.0", "8.11.0"

HEAD = """**Runs of migrations**, as Stopover tells of them over OTLP.

A run is in the table when it is over; while it works, its figures and log lines are here. A `trace.id` is the run's id without hyphens: \
paste it into APM, or take `stopover show RUN` in the pod. *Runs by state* knows no migration, and is empty while one is chosen.

Fields, set-up and alert rules: `docs/observability.md` of Stopover."""


def text(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def reference(to, name, kind="index-pattern"):
    return {"type": kind, "id": to, "name": name}


def saved(kind, name, shape, attributes, references=()):
    return {
        "type": kind,
        "id": name,
        "attributes": attributes,
        "references": list(references),
        "coreMigrationVersion": CORE,
        "typeMigrationVersion": shape,
    }


def source(query, index=None):
    search = {"query": {"query": query, "language": "kuery"}, "filter": []}
    if index:
        search["indexRefName"] = index
    return {"searchSourceJSON": text(search)}


def data_view(name):
    microseconds = {"id": "duration", "params": {"inputFormat": "microseconds", "outputFormat": "humanizePrecise"}}
    formats = {TOOK: microseconds, SPAN_TOOK: microseconds} if name == TRACES else {}
    attributes = {
        "title": INDICES[name],
        "name": "Stopover: " + name.removeprefix("stopover-"),
        "timeFieldName": TIME,
        "fieldFormatMap": text(formats),
        "allowHidden": False,
    }
    return saved("index-pattern", name, DATA_VIEW_SHAPE, attributes)


def search(name, title, view, query, columns):
    index = "kibanaSavedObjectMeta.searchSourceJSON.index"
    attributes = {
        "title": title,
        "description": "",
        "columns": columns,
        "sort": [[TIME, "desc"]],
        "kibanaSavedObjectMeta": source(query, index),
    }
    return saved("search", name, SEARCH_SHAPE, attributes, [reference(view, index)])


# Columns of Lens.


def over_time():
    return {
        "label": TIME,
        "dataType": "date",
        "operationType": "date_histogram",
        "sourceField": TIME,
        "isBucketed": True,
        "scale": "interval",
        "params": {"interval": "auto", "includeEmptyRows": True, "dropPartials": False},
    }


def by(field, size=10):
    return {
        "label": field,
        "dataType": "string",
        "operationType": "terms",
        "sourceField": field,
        "isBucketed": True,
        "scale": "ordinal",
        "params": {
            "size": size,
            "orderBy": {"type": "alphabetical", "fallback": True},
            "orderDirection": "asc",
            "otherBucket": False,
            "missingBucket": False,
            "parentFormat": {"id": "terms"},
        },
    }


def value(operation, field, label, **params):
    return {
        "label": label,
        "customLabel": True,
        "dataType": "number",
        "operationType": operation,
        "sourceField": field,
        "isBucketed": False,
        "scale": "ratio",
        "params": params,
    }


def chart(view, series, query, values, split=None):
    """A panel of values over time, drawn apart for each value of a field."""
    columns = {"time": over_time()}
    if split:
        columns["split"] = by(split)
    names = [f"value{number}" for number in range(len(values))]
    columns.update(zip(names, values))
    layer = {"layerId": "layer", "layerType": "data", "seriesType": series, "xAccessor": "time", "accessors": names}
    if split:
        layer["splitAccessor"] = "split"
    # Buckets are made in this order: each line has its own times.
    order = (["split"] if split else []) + ["time"] + names
    name = "indexpattern-datasource-layer-layer"
    state = {
        "datasourceStates": {
            "formBased": {"layers": {"layer": {"columns": columns, "columnOrder": order, "incompleteColumns": {}}}}
        },
        "visualization": {
            "preferredSeriesType": series,
            "layers": [layer],
            "legend": {"isVisible": True, "position": "right"},
            "valueLabels": "hide",
            "fittingFunction": "None",
        },
        "query": {"query": query, "language": "kuery"},
        "filters": [],
        "internalReferences": [],
        "adHocDataViews": {},
    }
    attributes = {
        "title": "",
        "type": "lens",
        "visualizationType": "lnsXY",
        "state": state,
        "references": [reference(view, name)],
    }
    return "lens", {"attributes": attributes, "enhancements": {}}, [reference(view, name)]


def line(query, values, split=MIGRATION):
    return chart(METRICS, "line", query, values, split)


def markdown(words):
    vis = {
        "title": "",
        "description": "",
        "type": "markdown",
        "params": {"markdown": words, "fontSize": 12, "openLinksInNewTab": False},
        "uiState": {},
        "data": {"aggs": [], "searchSource": {"query": {"query": "", "language": "kuery"}, "filter": []}},
    }
    return "visualization", {"savedVis": vis, "enhancements": {}}, []


def found(name):
    return "search", {"enhancements": {}}, [reference(name, "panel_{panel}", "search")]


SEARCHES = [
    search(
        "stopover-runs",
        "Stopover: runs",
        TRACES,
        f'{KIND} : "migration"',
        [NAME, STATE, RESULT, OPERATOR, ENVIRONMENT, TOOK, TRACE],
    ),
    search(
        "stopover-errors",
        "Stopover: errors",
        LOGS,
        f'{EVENT} : "error" and {RUN} : *',
        [MIGRATION, ERROR_TYPE, ERROR_MESSAGE, ENVIRONMENT, TRACE],
    ),
    search(
        "stopover-lines",
        "Stopover: log lines",
        LOGS,
        f'{RUN} : * and not {EVENT} : "error"',
        [LEVEL, MIGRATION, MESSAGE, TRACE],
    ),
]

# Name, title, width in 48ths, height, and what is in it; they flow from left to right.
PANELS = [
    ("head", "", 48, 6, markdown(HEAD)),
    ("runs", "Runs that are over", 48, 14, found("stopover-runs")),
    ("states", "Runs by state", 24, 12, chart(METRICS, "line", f"{RUNS} : *", [value("max", RUNS, "runs")], RUN_STATE)),
    ("rate", "Documents per second", 24, 12, line(f"{RATE} : *", [value("average", RATE, "documents/s")])),
    ("remaining", "What remains", 24, 12, line(f"{REMAINING} : *", [value("min", REMAINING, "documents")])),
    (
        "batches",
        "Duration of batches, in seconds",
        24,
        12,
        line(
            f"{BATCH} : *",
            [
                value("percentile", BATCH, "median", percentile=50),
                value("percentile", BATCH, "95th percentile", percentile=95),
            ],
        ),
    ),
    (
        "holds",
        "Held by the server's state, in microseconds, when each hold began",
        24,
        12,
        chart(TRACES, "bar_stacked", f"{HOLD_REASON} : *", [value("sum", SPAN_TOOK, "held")], HOLD_REASON),
    ),
    (
        "trouble",
        "Batches tried again, documents in quarantine",
        24,
        12,
        line(
            f"{RETRIES} : * or {QUARANTINED} : *",
            [value("max", RETRIES, "retries of this worker"), value("max", QUARANTINED, "quarantined")],
        ),
    ),
    (
        "lease",
        "Renewals of the lease, in seconds",
        24,
        12,
        line(f"{RENEWAL} : *", [value("percentile", RENEWAL, "95th percentile", percentile=95)]),
    ),
    (
        "drops",
        "Left out: lines of the mirror, telemetry that did not arrive",
        24,
        12,
        line(
            f"{LINES_DROPPED} : * or {TELEMETRY_DROPPED} : *",
            [value("max", LINES_DROPPED, "lines"), value("max", TELEMETRY_DROPPED, "telemetry")],
        ),
    ),
    ("errors", "Errors", 48, 12, found("stopover-errors")),
    ("lines", "Log lines", 48, 20, found("stopover-lines")),
]

CONTROLS = [("environment", "Environment", ENVIRONMENT), ("migration", "Migration", MIGRATION)]


def controls():
    panels, references = {}, []
    for order, (name, title, field) in enumerate(CONTROLS):
        panels[name] = {
            "type": "optionsListControl",
            "order": order,
            "width": "medium",
            "grow": True,
            "explicitInput": {"id": name, "fieldName": field, "title": title, "selectedOptions": [], "enhancements": {}},
        }
        references.append(reference(METRICS, f"controlGroup_{name}:optionsListDataView"))
    ignore = {"ignoreFilters": False, "ignoreQuery": False, "ignoreTimerange": False, "ignoreValidations": False}
    group = {
        "controlStyle": "oneLine",
        "chainingSystem": "HIERARCHICAL",
        "ignoreParentSettingsJSON": text(ignore),
        "panelsJSON": text(panels),
    }
    return group, references


def dashboard():
    group, references = controls()
    panels, x, y, row = [], 0, 0, 0
    for name, title, width, height, (kind, config, own) in PANELS:
        if x + width > 48:
            x, y = 0, y + row
        row = height
        panel = {
            "version": PANEL_SHAPE,
            "type": kind,
            "panelIndex": name,
            "gridData": {"i": name, "x": x, "y": y, "w": width, "h": height},
            "embeddableConfig": config,
            "title": title,
        }
        x += width
        if kind == "search":
            panel["panelRefName"] = f"panel_{name}"
        for it in own:
            references.append({**it, "name": f"{name}:{it['name'].format(panel=name)}"})
        panels.append(panel)
    attributes = {
        "title": "Stopover: runs",
        "description": "Runs of migrations: how far, how fast, what holds them, what went wrong",
        "version": 1,
        "timeRestore": True,
        "timeFrom": "now-24h",
        "timeTo": "now",
        "refreshInterval": {"pause": False, "value": 30000},
        "controlGroupInput": group,
        "optionsJSON": text({"useMargins": True, "syncColors": False, "syncCursor": True, "hidePanelTitles": False}),
        "panelsJSON": text(panels),
        "kibanaSavedObjectMeta": source(""),
    }
    return saved("dashboard", "stopover-dashboard", DASHBOARD_SHAPE, attributes, references)


# Rules, of the type that asks Elasticsearch. Their ids are fixed, so that they are found again.


def rule(name, minutes, params):
    return {
        "name": name,
        "consumer": "stackAlerts",
        "rule_type_id": ".es-query",
        "enabled": True,
        "tags": ["stopover"],
        "schedule": {"interval": "1m"},
        "params": {
            "timeField": TIME,
            "timeWindowSize": minutes,
            "timeWindowUnit": "m",
            "thresholdComparator": ">",
            "threshold": [0],
            "excludeHitsFromPreviousRun": False,
            "aggType": "count",
            **params,
        },
        "actions": [],
    }


# What an alert is called: a migration with its environment, or an environment alone. Pods without one are not to be left out, as they would be by a
# term that their documents lack; nor is there a field for it in an index to which no pod has told one.
ALERT = "alert"
SAYS = {
    MIGRATION: f"doc['{MIGRATION}'].value + ' in ' + where",
    ENVIRONMENT: "where",
}


def called(field):
    there = f"doc.containsKey('{ENVIRONMENT}') && doc['{ENVIRONMENT}'].size() > 0"
    script = f"def where = {there} ? doc['{ENVIRONMENT}'].value : 'no environment'; emit({SAYS[field]});"
    return {ALERT: {"type": "keyword", "script": {"source": script}}}


def documents(name, minutes, view, conditions, field):
    """Documents that meet all conditions and have this field, or may lack it if it is the environment; an alert for each of its values."""
    known = [] if field == ENVIRONMENT else [{"exists": {"field": field}}]
    query = {"runtime_mappings": called(field), "query": {"bool": {"filter": conditions + known}}}
    return rule(
        name,
        minutes,
        {
            "searchType": "esQuery",
            "index": INDICES[view].split(","),
            "esQuery": text(query),
            "size": 10,
            "groupBy": "top",
            "termField": ALERT,
            "termSize": 100,
        },
    )


def rows(name, minutes, *pipeline):
    """Rows that a query in ES|QL leaves. It only sees what is in the time window.

    What is told of a migration comes from one worker after another, in the same pod or in the next: counters of a new one begin with 0.
    """
    esql = "\n| ".join([f"FROM {INDICES[METRICS]}", *pipeline])
    return rule(name, minutes, {"searchType": "esqlQuery", "esqlQuery": {"esql": esql}, "size": 100, "groupBy": "all"})


RULES = {
    "run-failed": (
        "1d1f2c56-3a0b-4f57-9c0e-5d4a6f1b7a01",
        documents(
            "Stopover: a run has failed", 5, LOGS, [{"term": {EVENT: "error"}}, {"term": {KIND: "migration"}}], MIGRATION
        ),
    ),
    "run-lost": (
        "1d1f2c56-3a0b-4f57-9c0e-5d4a6f1b7a02",
        documents(
            "Stopover: a run is lost", 3, METRICS, [{"term": {RUN_STATE: "lost"}}, {"range": {RUNS: {"gt": 0}}}], ENVIRONMENT
        ),
    ),
    "run-held": (
        "1d1f2c56-3a0b-4f57-9c0e-5d4a6f1b7a03",
        rows(
            "Stopover: a run was held for more than 10 of the last 15 minutes",
            15,
            # What is more at the end than it was at the beginning, and so never more than has passed, whichever worker began in between.
            f"EVAL early = CASE({TIME} < NOW() - 12 minutes, {HELD}), late = CASE({TIME} > NOW() - 3 minutes, {HELD})",
            f"STATS early = MIN(early), late = MAX(late) BY {MIGRATION}, {HOLD_REASON}, {POD}",
            "EVAL held = late - early",
            "WHERE held > 600",
        ),
    ),
    "no-progress": (
        "1d1f2c56-3a0b-4f57-9c0e-5d4a6f1b7a04",
        rows(
            "Stopover: a run has done no document for 15 minutes",
            15,
            f"WHERE {PROCESSED} IS NOT NULL OR {DONE} IS NOT NULL",
            f"EVAL minute = DATE_TRUNC(1 minute, {TIME}), late = CASE({TIME} > NOW() - 3 minutes, 1)",
            f"STATS done = MAX({DONE}), most = MAX({PROCESSED}), least = MIN({PROCESSED}), minutes = COUNT_DISTINCT(minute), late = MAX(late)"
            f" BY {MIGRATION}, {POD}",
            "WHERE done IS NOT NULL AND most == least AND minutes >= 12 AND late == 1",
        ),
    ),
    "remaining-does-not-fall": (
        "1d1f2c56-3a0b-4f57-9c0e-5d4a6f1b7a05",
        rows(
            "Stopover: what remains has not fallen for 15 minutes",
            30,
            f"WHERE {REMAINING} IS NOT NULL",
            f"EVAL before = CASE({TIME} < NOW() - 15 minutes, {REMAINING}), after = CASE({TIME} >= NOW() - 15 minutes, {REMAINING})",
            f"EVAL minute = DATE_TRUNC(1 minute, {TIME}), late = CASE({TIME} > NOW() - 3 minutes, 1)",
            f"STATS before = MIN(before), after = MIN(after), minutes = COUNT_DISTINCT(minute), late = MAX(late) BY {MIGRATION}, {POD}",
            "WHERE after > 0 AND after >= before AND minutes >= 25 AND late == 1",
        ),
    ),
    "silent": (
        "1d1f2c56-3a0b-4f57-9c0e-5d4a6f1b7a06",
        rows(
            "Stopover: nothing is heard of a run that is at work",
            5,
            f'EVAL working = CASE({RUN_STATE} == "running", {RUNS}), told = CASE({RENEWALS} IS NOT NULL, {MIGRATION})',
            f"STATS working = MIN(working), told = COUNT_DISTINCT(told) BY {ENVIRONMENT}",
            "WHERE working > told",
        ),
    ),
    "left-out": (
        "1d1f2c56-3a0b-4f57-9c0e-5d4a6f1b7a07",
        documents(
            "Stopover: lines of the mirror or telemetry were left out",
            5,
            METRICS,
            [
                {
                    "bool": {
                        "minimum_should_match": 1,
                        "should": [{"range": {LINES_DROPPED: {"gt": 0}}}, {"range": {TELEMETRY_DROPPED: {"gt": 0}}}],
                    }
                }
            ],
            MIGRATION,
        ),
    ),
}


def main():
    there = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent
    objects = [data_view(name) for name in INDICES] + SEARCHES + [dashboard()]
    (there / "stopover.ndjson").write_text("".join(text(it) + "\n" for it in objects), encoding="utf-8")
    (there / "rules").mkdir(exist_ok=True)
    for name, (identity, body) in RULES.items():
        whole = json.dumps({"id": identity, **body}, ensure_ascii=False, indent=2)
        (there / "rules" / f"{name}.json").write_text(whole + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
