//! Merging defaults, file and environment.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::problem::Problem;

/// Loads a role's configuration: its defaults, overlaid by a TOML file, overlaid by the variables
/// `MILLRACE_<ROLE>__<KEY>` (and `MILLRACE_<ROLE>__<SECTION>__<KEY>`), whose values are TOML
/// values, or plain text where a text is wanted.
///
/// # Errors
/// Every key that the role does not know, and the place of a syntax or type error.
pub fn load<C: DeserializeOwned + Serialize + Default>(
    role: &str,
    file: Option<(&Path, &str)>,
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<C, Vec<Problem>> {
    let known = Table::try_from(C::default()).map_err(|error| {
        vec![Problem::new(
            "",
            format!("the defaults are unusable: {error}"),
        )]
    })?;
    let mut merged = known.clone();
    if let Some((path, text)) = file {
        // Deserializing the file alone first gives errors that point at its lines.
        toml::from_str::<C>(text).map_err(|error| vec![located(path, text, &error)])?;
        let table: Table = text
            .parse()
            .map_err(|error| vec![located(path, text, &error)])?;
        overlay(&mut merged, table);
    }
    let problems = overlay_env::<C>(&mut merged, &known, role, env);
    if !problems.is_empty() {
        return Err(problems);
    }
    C::deserialize_table(merged)
}

trait FromTable: Sized {
    fn deserialize_table(table: Table) -> Result<Self, Vec<Problem>>;
}

impl<C: DeserializeOwned> FromTable for C {
    fn deserialize_table(table: Table) -> Result<Self, Vec<Problem>> {
        Value::Table(table)
            .try_into()
            .map_err(|error: toml::de::Error| vec![Problem::new("", error.message())])
    }
}

fn located(path: &Path, text: &str, error: &toml::de::Error) -> Problem {
    let before = error
        .span()
        .and_then(|span| text.get(..span.start))
        .unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    Problem::new(format!("{}:{line}", path.display()), error.message())
}

fn overlay(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => overlay(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

fn overlay_env<C: DeserializeOwned>(
    merged: &mut Table,
    known: &Table,
    role: &str,
    env: impl IntoIterator<Item = (String, String)>,
) -> Vec<Problem> {
    let prefix = format!("MILLRACE_{}__", role.to_ascii_uppercase());
    let mut problems = Vec::new();
    for (name, text) in env {
        let Some(rest) = name.strip_prefix(&prefix) else {
            continue;
        };
        let keys: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
        let Some(default) = find(known, &keys) else {
            problems.push(Problem::new(
                name,
                "no such key; see the role's annotated TOML file",
            ));
            continue;
        };
        let value = match default {
            Value::String(_) => Value::String(text),
            _ => match format!("v = {text}").parse::<Table>() {
                Ok(mut table) => table.remove("v").unwrap_or(Value::Boolean(false)),
                Err(_) => Value::String(text),
            },
        };
        let mut with = merged.clone();
        overlay(&mut with, nest(&keys, value));
        match C::deserialize_table(with.clone()) {
            Ok(_) => *merged = with,
            Err(faults) => problems.extend(
                faults
                    .into_iter()
                    .map(|fault| Problem::new(&name, fault.message)),
            ),
        }
    }
    problems
}

fn find<'a>(table: &'a Table, keys: &[String]) -> Option<&'a Value> {
    let (first, rest) = keys.split_first()?;
    let value = table.get(first)?;
    if rest.is_empty() {
        Some(value)
    } else {
        find(value.as_table()?, rest)
    }
}

fn nest(keys: &[String], value: Value) -> Table {
    let mut table = Table::new();
    if let Some((first, rest)) = keys.split_first() {
        let inner = if rest.is_empty() {
            value
        } else {
            Value::Table(nest(rest, value))
        };
        table.insert(first.clone(), inner);
    }
    table
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Role {
        listen: String,
        workers: u32,
        cache: Cache,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Cache {
        ram: crate::ByteSize,
    }

    impl Default for Role {
        fn default() -> Self {
            Self {
                listen: "127.0.0.1:1".into(),
                workers: 1,
                cache: Cache::default(),
            }
        }
    }

    impl Default for Cache {
        fn default() -> Self {
            Self {
                ram: crate::ByteSize::mib(64),
            }
        }
    }

    fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn the_environment_goes_over_the_file_and_the_file_over_the_defaults() {
        let file = "workers = 2\n[cache]\nram = \"1GiB\"\n";
        let role: Role = load(
            "edge",
            Some((Path::new("edge.toml"), file)),
            env(&[
                ("MILLRACE_EDGE__CACHE__RAM", "2GiB"),
                ("MILLRACE_SHIELD__WORKERS", "9"),
                ("PATH", "/"),
            ]),
        )
        .unwrap();
        assert_eq!(role.listen, "127.0.0.1:1");
        assert_eq!(role.workers, 2);
        assert_eq!(role.cache.ram, crate::ByteSize::mib(2048));
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_place() {
        let file = Some((Path::new("edge.toml"), "workers = 2\nworker = 3\n"));
        let problems = load::<Role>("edge", file, env(&[])).unwrap_err();
        assert_eq!(problems[0].key, "edge.toml:2");
        assert!(problems[0].message.contains("worker"), "{problems:?}");
        let problems =
            load::<Role>("edge", None, env(&[("MILLRACE_EDGE__WORKER", "3")])).unwrap_err();
        assert_eq!(problems[0].key, "MILLRACE_EDGE__WORKER");
    }

    #[test]
    fn a_value_of_another_type_is_refused() {
        let file = Some((Path::new("edge.toml"), "\n\nworkers = \"two\"\n"));
        assert_eq!(
            load::<Role>("edge", file, env(&[])).unwrap_err()[0].key,
            "edge.toml:3"
        );
        let problems = load::<Role>("edge", None, env(&[("MILLRACE_EDGE__WORKERS", "two")]));
        assert_eq!(problems.unwrap_err()[0].key, "MILLRACE_EDGE__WORKERS");
    }
}
