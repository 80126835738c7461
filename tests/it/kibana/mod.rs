//! `assets/kibana`: what is imported into Kibana. The files hang together, name only what Stopover sends, and come from their one source; the
//! script that imports them speaks to a server that answers as Kibana does.

mod esql;
mod fields;
mod import;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

/// Where the files are.
fn assets() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/kibana"))
}

/// The saved objects, one a line.
fn objects() -> Vec<Value> {
    let text = fs::read_to_string(assets().join("stopover.ndjson")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The rules with the names of their files.
fn rules() -> Vec<(String, Value)> {
    let files = fs::read_dir(assets().join("rules")).unwrap().map(|file| file.unwrap().path());
    let mut rules: Vec<_> = files
        .map(|file| {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            (name, serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap())
        })
        .collect();
    rules.sort_by(|(a, _), (b, _)| a.cmp(b));
    rules
}

/// A text that holds JSON.
fn parsed(text: &Value) -> Value {
    serde_json::from_str(text.as_str().unwrap()).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn references(object: &Value) -> impl Iterator<Item = (&str, &str, &str)> {
    let references = object["references"].as_array().unwrap();
    references.iter().map(|it| (text(&it["type"]), text(&it["id"]), text(&it["name"])))
}

#[test]
fn the_files_are_what_their_source_makes() {
    let made = tempfile::tempdir().unwrap();
    let built = Command::new("python3").arg(assets().join("build.py")).arg(made.path()).output();
    let built = built.expect("python3 is there: apt-get install python3");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let names = rules().into_iter().map(|(name, _)| format!("rules/{name}")).chain(["stopover.ndjson".to_owned()]);
    for name in names {
        let [made, committed] = [made.path(), &assets()].map(|at| fs::read_to_string(at.join(&name)).unwrap());
        assert_eq!(made, committed, "{name}: run assets/kibana/build.py");
    }
    assert_eq!(fs::read_dir(made.path().join("rules")).unwrap().count(), rules().len(), "no rule is left over");
}

#[test]
fn every_reference_is_to_an_object_of_the_file() {
    let objects = objects();
    let ids: BTreeSet<_> = objects.iter().map(|it| (text(&it["type"]), text(&it["id"]))).collect();
    assert_eq!(ids.len(), objects.len(), "no id twice");
    for object in &objects {
        let mut names = BTreeSet::new();
        for (kind, id, name) in references(object) {
            assert!(ids.contains(&(kind, id)), "{kind} {id}, of {}", object["id"]);
            assert!(names.insert(name), "{name} twice");
        }
    }
    let kinds: BTreeSet<_> = ids.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, BTreeSet::from(["dashboard", "index-pattern", "search"]));
}

#[test]
fn each_panel_of_the_dashboard_finds_what_it_shows() {
    let objects = objects();
    let dashboard = objects.iter().find(|it| it["type"] == "dashboard").unwrap();
    let named: BTreeSet<_> = references(dashboard).map(|(_, _, name)| name.to_owned()).collect();
    let mut used = BTreeSet::new();
    let mut cells = BTreeSet::new();
    let panels = parsed(&dashboard["attributes"]["panelsJSON"]);
    for panel in panels.as_array().unwrap() {
        let index = text(&panel["panelIndex"]);
        assert_eq!(panel["gridData"]["i"], index);
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|it| panel["gridData"][it].as_u64().unwrap());
        assert!(x + w <= 48, "{index} is within the width");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(cells.insert(cell), "{index} covers another panel");
        }
        match text(&panel["type"]) {
            "visualization" => {}
            "search" => assert!(used.insert(format!("{index}:{}", text(&panel["panelRefName"])))),
            "lens" => {
                let attributes = &panel["embeddableConfig"]["attributes"];
                let layers = attributes["state"]["datasourceStates"]["formBased"]["layers"].as_object().unwrap();
                for (name, layer) in layers {
                    assert!(used.insert(format!("{index}:indexpattern-datasource-layer-{name}")));
                    let columns: BTreeSet<_> =
                        layer["columns"].as_object().unwrap().keys().map(String::as_str).collect();
                    let order: BTreeSet<_> = layer["columnOrder"].as_array().unwrap().iter().map(text).collect();
                    assert_eq!(columns, order, "{index}");
                }
                for drawn in attributes["state"]["visualization"]["layers"].as_array().unwrap() {
                    let layer = &layers[text(&drawn["layerId"])];
                    let shown = drawn["accessors"].as_array().unwrap().iter().chain(drawn.get("splitAccessor"));
                    for column in shown.chain([&drawn["xAccessor"]]) {
                        assert!(layer["columns"][text(column)].is_object(), "{index}: {column}");
                    }
                }
            }
            other => panic!("{index} is a {other}"),
        }
    }
    let controls = parsed(&dashboard["attributes"]["controlGroupInput"]["panelsJSON"]);
    used.extend(controls.as_object().unwrap().keys().map(|name| format!("controlGroup_{name}:optionsListDataView")));
    assert_eq!(used, named, "what the panels use is what the dashboard refers to");
}

#[test]
fn rules_have_ids_of_their_own_and_the_params_that_kibana_checks() {
    let rules = rules();
    let ids: BTreeSet<_> = rules.iter().map(|(_, rule)| text(&rule["id"])).collect();
    assert_eq!((ids.len(), rules.len()), (7, 7));
    for (name, rule) in &rules {
        let id: uuid::Uuid = text(&rule["id"]).parse().unwrap();
        assert_eq!(id.get_version_num(), 4, "{name}: Kibana takes ids of versions 1 and 4");
        let params = &rule["params"];
        assert_eq!((text(&rule["rule_type_id"]), text(&params["timeField"])), (".es-query", "@timestamp"), "{name}");
        assert_eq!((&rule["actions"], params["threshold"].as_array().unwrap().len()), (&serde_json::json!([]), 1));
        match text(&params["searchType"]) {
            "esQuery" => {
                assert!(parsed(&params["esQuery"])["query"].is_object(), "{name}");
                assert!(!params["index"].as_array().unwrap().is_empty(), "{name}");
                assert!(params["groupBy"] == "top" && params["termField"].is_string() && params["termSize"].is_u64());
                let made = &parsed(&params["esQuery"])["runtime_mappings"][text(&params["termField"])];
                assert!(text(&made["script"]["source"]).contains("service.environment"), "{name}: an alert says where");
            }
            "esqlQuery" => {
                assert!(text(&params["esqlQuery"]["esql"]).starts_with("FROM "), "{name}");
                // Kibana takes no other for this.
                assert_eq!((text(&params["thresholdComparator"]), &params["threshold"][0]), (">", &0.into()), "{name}");
            }
            other => panic!("{name} searches by {other}"),
        }
    }
}
