//! What must hold of the files that tell operators of a configuration, for the tests of each role.

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// Tells what is wrong with a role's annotated file, which is to show every key with its default.
///
/// # Errors
/// What differs, in words.
pub fn shows_defaults<C>(file: &str) -> Result<(), String>
where
    C: DeserializeOwned + Serialize + Default,
{
    toml::from_str::<C>(file).map_err(|error| error.to_string())?;
    let shown: Table = toml::from_str(file).map_err(|error| error.to_string())?;
    let defaults = Table::try_from(C::default()).map_err(|error| error.to_string())?;
    let mut faults = Vec::new();
    compare("", &shown, &defaults, &mut faults);
    if faults.is_empty() {
        return Ok(());
    }
    Err(faults.join("; "))
}

fn compare(section: &str, shown: &Table, defaults: &Table, faults: &mut Vec<String>) {
    for (key, default) in defaults {
        match (shown.get(key), default) {
            (Some(Value::Table(shown)), Value::Table(default)) => {
                compare(&format!("{section}{key}."), shown, default, faults);
            }
            (Some(shown), _) if shown == default => {}
            (Some(shown), _) => faults.push(format!("{section}{key} is {shown}, not {default}")),
            (None, _) => faults.push(format!("{section}{key} is not shown")),
        }
    }
    for key in shown.keys().filter(|key| !defaults.contains_key(*key)) {
        faults.push(format!("{section}{key} has no default"));
    }
}

/// Tells which of the keys that take effect without a restart are not there, or not named by a guide: as `` `key` ``,
/// and a section, which ends in `.`, as `` `section.*` ``.
#[must_use]
pub fn unnamed<C: Serialize + Default>(keys: &[&str], guide: &str) -> Vec<String> {
    let defaults = Value::try_from(C::default()).ok();
    let is_told = |key: &str| {
        let section = key.strip_suffix('.');
        let mut parts = section.unwrap_or(key).split('.');
        let found = parts.try_fold(defaults.as_ref()?, |value, part| value.get(part));
        let name = section.map_or_else(|| format!("`{key}`"), |name| format!("`{name}.*`"));
        found.filter(|_| guide.contains(&name)).map(drop)
    };
    let untold = keys.iter().filter(|key| is_told(key).is_none());
    untold.map(|key| (*key).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Serialize, Deserialize, Default)]
    #[serde(default, deny_unknown_fields)]
    struct Role {
        name: String,
        cache: Cache,
    }

    #[derive(Serialize, Deserialize, Default)]
    #[serde(default, deny_unknown_fields)]
    struct Cache {
        bytes: u32,
    }

    #[test]
    fn a_file_shows_every_key_with_its_default_and_no_other() {
        let wrong = |file: &str| shows_defaults::<Role>(file).err().unwrap_or_default();
        assert_eq!(wrong("name = \"\"\n[cache]\nbytes = 0"), "");
        assert_eq!(
            wrong("name = \"x\"\n[cache]"),
            "cache.bytes is not shown; name is \"x\", not \"\""
        );
        assert_eq!(wrong("name = \"\""), "cache is not shown");
        assert!(wrong("nmae = \"\"").contains("unknown field"));
    }

    #[test]
    fn a_guide_names_keys_and_sections_that_are_there() {
        let keys = ["name", "cache.", "cache.bytes", "cache.size", "disk."];
        let guide = "`name`, `cache.*`, `cache.size`, `disk.*`";
        let unnamed = unnamed::<Role>(&keys, guide);
        assert_eq!(unnamed, ["cache.bytes", "cache.size", "disk."]);
    }
}
