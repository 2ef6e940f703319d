//! `millrace check` agrees with every published token case; `millrace sign` makes what it accepts.

use serde_json::Value;

use crate::house::{millrace, root};

#[test]
fn every_published_case_agrees() {
    let path = root()
        .join("contracts/tests/data/native_token.json")
        .display()
        .to_string();
    let file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for case in file["cases"].as_array().unwrap() {
        let (target, now) = (case["target"].as_str().unwrap(), case["now"].to_string());
        let mut arguments = vec!["check", "--keys", &path, "--now", &now];
        if let Some(ip) = case["client_ip"].as_str() {
            arguments.extend(["--client-ip", ip]);
        }
        if let Some(country) = case["country"].as_str() {
            arguments.extend(["--country", country]);
        }
        arguments.push(target);
        let checked = millrace(&arguments);
        let answer: Value = serde_json::from_slice(&checked.stdout).unwrap();
        let name = &case["name"];
        assert_eq!(answer["verdict"], case["expect"], "{name}");
        let accepted = case["expect"] == "accept";
        assert_eq!(checked.status.code(), Some(i32::from(!accepted)), "{name}");
        if accepted {
            assert_eq!(answer["path"], case["path"], "{name}");
            assert!(
                case["cache_key"].is_null() || answer["cache_key"] == case["cache_key"],
                "{name}"
            );
        } else {
            assert_eq!(answer["reason"], case["reason"], "{name}");
        }
    }
}

#[test]
fn what_is_signed_is_accepted_until_it_expires() {
    let keys = root()
        .join("contracts/tests/data/native_token.json")
        .display()
        .to_string();
    let sign = |extra: &[&str]| {
        let mut arguments = vec![
            "sign",
            "--keys",
            &keys,
            "--kid",
            "k1",
            "--expires",
            "1800000100",
        ];
        arguments.extend(extra);
        let signed = millrace(&arguments);
        assert!(
            signed.status.success(),
            "{}",
            String::from_utf8_lossy(&signed.stderr)
        );
        String::from_utf8(signed.stdout).unwrap().trim().to_owned()
    };
    let verdict = |target: &str, now: &str| {
        millrace(&["check", "--keys", &keys, "--now", now, target])
            .status
            .code()
    };
    let path = sign(&["/v/abc/"]) + "master.m3u8";
    let plain = sign(&["/v/abc/master.m3u8", "--plain"]);
    for target in [path, plain] {
        assert_eq!(verdict(&target, "1800000099"), Some(0), "{target}");
        assert_eq!(verdict(&target, "1800000100"), Some(1), "{target}");
    }
}

#[test]
fn an_unusable_keyring_or_configuration_says_what_to_do() {
    let missing = millrace(&["check", "--keys", "no/such/file", "/v/a"]);
    assert!(String::from_utf8_lossy(&missing.stderr).contains("no/such/file"));
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("edge.toml");
    std::fs::write(&file, "lisen = \"127.0.0.1:0\"\n").unwrap();
    let refused = millrace(&["edge", "--check", "--config", &file.display().to_string()]);
    assert_eq!(refused.status.code(), Some(64));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        said.contains("edge.toml:1") && said.contains("lisen"),
        "{said}"
    );
}
