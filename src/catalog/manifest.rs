//! Migrations declared in YAML.
