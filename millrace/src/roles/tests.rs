//! What `--check` finds, and what is told of a start that fails.

use super::*;

/// The keys that are named when a configuration is checked together with its files.
fn faults<C, S>(
    toml: &str,
    check: fn(C) -> Result<S, Vec<Problem>>,
    inspect: fn(&S) -> Result<(), Vec<Problem>>,
) -> Vec<String>
where
    C: DeserializeOwned + Serialize + Default,
{
    let file = Some((Path::new("role.toml"), toml));
    let settings = config::load::<C>("role", file, []).and_then(check).ok();
    let problems = inspect(&settings.unwrap()).err().unwrap_or_default();
    let told = format!("{problems:?}");
    assert!(!told.contains("5ecret"), "{told}");
    problems.into_iter().map(|problem| problem.key).collect()
}

#[test]
fn a_check_reads_and_judges_every_secret_that_a_configuration_names() {
    let folder = tempfile::tempdir().unwrap();
    // None is a keyring, a certificate, a key-encryption key, or long enough for a credential.
    let poor = folder.path().join("poor");
    std::fs::write(&poor, "5ecret").unwrap();
    let empty = folder.path().join("empty");
    std::fs::write(&empty, " \n").unwrap();
    for file in [&poor, &folder.path().join("absent")] {
        let file = file.display();
        let here = folder.path().display();
        let control = format!(
            "catalog = 'sqlite://{here}/catalog.db'\noperator_key = '{file}'\nkeys = '{file}'\n[drm]\nkey_encryption_key = '{file}'\nkeys_secret = '{}'\nsystems = ['identity']",
            empty.display()
        );
        let found = faults(
            &control,
            control_plane::config::Config::check,
            control_plane::inspect,
        );
        let secrets = [
            "operator_key",
            "keys",
            "drm.key_encryption_key",
            "drm.keys_secret",
        ];
        assert_eq!(found, secrets);
        let ingest = format!(
            "catalog = 'sqlite://{here}/catalog.db'\nwork = '{here}/work'\noperator_key = '{file}'\nstore = 's3://bucket/house?credentials={file}'"
        );
        let found = faults(&ingest, ingest::Config::check, ingest::inspect);
        assert_eq!(found, ["store", "operator_key"]);
        let shield = format!(
            "parents = ['http://127.0.0.1:1']\nhop_secret_file = '{file}'\n[upstream]\nhop_secret_file = '{file}'"
        );
        let found = faults(
            &shield,
            origin_shield::config::Config::check,
            origin_shield::inspect,
        );
        assert_eq!(found, ["hop_secret_file", "upstream.hop_secret_file"]);
        let edge = format!(
            "parents = ['http://127.0.0.1:1']\nkeyring_file = '{file}'\n[tls]\ncertificate = '{file}'\nkey = '{file}'\n[upstream]\nhop_secret_file = '{file}'"
        );
        let found = faults(&edge, edge::config::Config::check, edge::inspect);
        let secrets = [
            "tls.certificate",
            "keyring_file",
            "upstream.hop_secret_file",
        ];
        assert_eq!(found, secrets);
    }
    let origin = format!(
        "hop_secret = '{}'\nstore = 's3://bucket?credentials={}'\nkeys_secret = '{}'",
        empty.display(),
        poor.display(),
        folder.path().join("absent").display()
    );
    let found = faults(&origin, origin::config::Config::check, origin::inspect);
    assert_eq!(found, ["store", "hop_secret", "keys_secret"]);
}

#[test]
fn a_check_finds_what_would_fail_at_the_start_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().display();
    let ingest = |more: &str| {
        let toml = format!(
            "store = 'file://{here}/store'\ncatalog = 'sqlite://{here}/catalog.db'\nwork = '{here}/work'\n{more}"
        );
        faults(&toml, ingest::Config::check, ingest::inspect)
    };
    assert_eq!(ingest(""), [""; 0]);
    assert_eq!(ingest("ffmpeg = '/nowhere/ffmpeg'"), ["ffmpeg"]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    // A file is in the way of everything.
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let file = file.display();
    let toml = format!(
        "store = 'file://{file}'\ncatalog = 'sqlite://{file}/catalog.db'\nwork = '{file}/work'"
    );
    let found = faults(&toml, ingest::Config::check, ingest::inspect);
    assert_eq!(found, ["store", "catalog", "work"]);
    let origin = |store: &str| {
        let toml = format!("store = 'file://{store}'");
        faults(&toml, origin::config::Config::check, origin::inspect)
    };
    assert_eq!(origin(&format!("{here}/store")), [""; 0]);
    assert_eq!(origin(&file.to_string()), ["store"]);
    // A keyring from which no token can be made for the nodes that enrol.
    let keys = folder.path().join("keys.json");
    let keyring = |version: &str, secret: &str| {
        let key = format!(
            "{{'kid': 'k', 'ver': '{version}', '{secret}': '{}', 'scope': ['/v/'], 'nbf': 0, 'exp': 4102444800}}",
            "0f".repeat(32)
        );
        std::fs::write(&keys, format!("{{'keyring': [{key}]}}").replace('\'', "\"")).unwrap();
        let control = format!(
            "catalog = 'sqlite://{here}/catalog.db'\nkeys = '{}'\n[fleet]\nlisten = '127.0.0.1:7300'\npublic = 'https://a.example:7300'\nauthority = '{here}/authority'\nparents = ['https://shield.example']",
            keys.display()
        );
        let check = control_plane::config::Config::check;
        faults(&control, check, control_plane::inspect)
    };
    assert_eq!(keyring("m1", "key_hex"), ["keys"]);
    assert_eq!(keyring("m2", "seed_hex"), [""; 0]);
}

#[test]
fn a_start_that_fails_for_a_file_names_the_key_that_names_it() {
    let options = cli::Role {
        config: None,
        check: false,
        log_json: false,
        leash: false,
    };
    let source = Source::<(), ()> {
        options: &options,
        role: "edge",
        adapt: &|()| Ok(()),
        check: |()| Ok(()),
        inspect: |()| {
            let problem = |key: &str, message: &str| Problem::new(key, message);
            Err(vec![
                problem("a", "other"),
                problem("tls.key", "/k: no key"),
            ])
        },
    };
    let named = |said: &'static str| {
        let failed = source.named::<(), _>(&(), Err(anyhow::anyhow!(said)));
        crate::told(&failed.unwrap_err())
    };
    assert_eq!(named("/k: no key"), "tls.key: /k: no key");
    assert_eq!(named("port 80 is taken"), "port 80 is taken");
}
