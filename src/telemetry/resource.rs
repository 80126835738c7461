//! Who sends: the attributes that hold for everything a process sends.
//!
//! Names are those of <https://opentelemetry.io/docs/specs/semconv/resource/>. What `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` say comes
//! before what is found out here.

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};

use crate::config::{Config, SERVICE, service_name};
use crate::place::{self, Place};

/// Of this process: for spans and log records, each of which is told once.
#[must_use]
pub fn resource(config: &Config) -> Resource {
    of(config, Some(KeyValue::new("process.pid", i64::from(std::process::id()))))
}

/// Of figures. They are not told by which process they are: one worker at a time works on a migration, and its series go on where the next one takes
/// over. Backends that keep every attribute as a label would begin new ones with each attempt.
#[must_use]
pub fn of_figures(config: &Config) -> Resource {
    of(config, None)
}

fn of(config: &Config, process: Option<KeyValue>) -> Resource {
    Resource::builder_empty()
        .with_attributes(attributes(config))
        .with_attributes(process)
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_detector(Box::new(EnvResourceDetector::new()))
        .with_attributes(service_name().map(|name| KeyValue::new("service.name", name)))
        .build()
}

fn attributes(config: &Config) -> Vec<KeyValue> {
    let Place { pod, namespace, node, image, .. } = &*config.actor.place;
    let mut attributes = vec![
        KeyValue::new("service.name", SERVICE),
        KeyValue::new("service.version", config.actor.place.build()),
        // The pod, and not the process: figures have it, too.
        KeyValue::new("service.instance.id", pod.clone()),
    ];
    let mut add = |name: &'static str, value: &str| attributes.push(KeyValue::new(name, value.to_owned()));
    if let Some(environment) = &config.environment {
        add("deployment.environment.name", environment.as_str());
        // Its name before 2024, which backends still look for.
        add("deployment.environment", environment.as_str());
    }
    if place::in_kubernetes() {
        add("k8s.pod.name", pod);
    }
    if let Some(namespace) = namespace {
        add("k8s.namespace.name", namespace);
    }
    if let Some(node) = node {
        add("k8s.node.name", node);
    }
    add("host.name", node.as_deref().unwrap_or(pod));
    if let Some(image) = image {
        let (name, tag) = image_parts(image);
        add("container.image.name", name);
        if let Some(tag) = tag {
            let tags = opentelemetry::Array::String(vec![tag.to_owned().into()]);
            attributes.push(KeyValue::new("container.image.tags", opentelemetry::Value::Array(tags)));
        }
    }
    attributes
}

/// `registry:5000/team/app:1.4@sha256:...` as its name and its tag.
fn image_parts(image: &str) -> (&str, Option<&str>) {
    let image = image.split('@').next().unwrap_or(image);
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (image, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_its_name_and_its_tag() {
        assert_eq!(image_parts("registry:5000/team/app:1.4@sha256:ab"), ("registry:5000/team/app", Some("1.4")));
        assert_eq!(image_parts("registry:5000/app"), ("registry:5000/app", None));
        assert_eq!(image_parts("app@sha256:ab"), ("app", None));
    }
}
