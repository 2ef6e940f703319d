//! What an operator adds to the configurations that `up` writes, by role: files that it never writes itself.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context as _;
use toml::{Table, Value};

/// Lays the file of a role's name over what was made for it, where there is one: its keys count, tables are joined.
pub(super) fn add(folder: &Path, name: &str, config: &mut Table) -> anyhow::Result<()> {
    let path = folder.join(format!("{name}.toml"));
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let more: Table = text
        .parse()
        .with_context(|| format!("{} is no TOML", path.display()))?;
    eprintln!("  {name}: with {}", path.display());
    lay_over(config, more);
    Ok(())
}

fn lay_over(config: &mut Table, more: Table) {
    for (key, value) in more {
        match (config.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => lay_over(below, above),
            (_, value) => drop(config.insert(key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use toml::toml;

    use super::*;

    #[test]
    fn what_is_added_counts_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let made = toml! {
            listen = "127.0.0.1:1"
            [fleet]
            hop_secrets = ["hop"]
            zone = "millrace"
        };
        let mut config = made.clone();
        add(folder.path(), "control", &mut config).unwrap();
        assert_eq!(config, made, "nothing is added");
        let text = "heartbeat = '9s'\n[fleet]\nlisten = '127.0.0.1:7300'\nzone = 'other'\n";
        fs::write(folder.path().join("control.toml"), text).unwrap();
        add(folder.path(), "control", &mut config).unwrap();
        let whole = toml! {
            listen = "127.0.0.1:1"
            heartbeat = "9s"
            [fleet]
            hop_secrets = ["hop"]
            zone = "other"
            listen = "127.0.0.1:7300"
        };
        assert_eq!(config, whole);
        fs::write(folder.path().join("control.toml"), "listen = ").unwrap();
        let fault = add(folder.path(), "control", &mut config).unwrap_err();
        assert!(
            fault.to_string().contains("control.toml is no TOML"),
            "{fault}"
        );
    }
}
