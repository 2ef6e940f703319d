//! Any text as a request's target: one spelling for each thing that it may name, or a refusal.

use contracts::{
    address::{Address, View},
    id::RenditionId,
    target,
};

/// Reads `data` as a target, a path and the words of a view.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Some(view) = View::parse(text) {
        assert_eq!(view.to_string(), text);
        let inside = format!("/v/film/@{text}/master.m3u8");
        let address = Address::parse(&inside).expect("a view of a film");
        assert_eq!((address.view, address.path()), (view, inside));
    }
    if let Ok(address) = Address::parse(text) {
        assert_eq!(address.path(), text);
        assert!(target::is_path(text));
    }
    let Ok(parsed) = target::parse(text) else {
        return;
    };
    assert!(target::is_path(parsed.path) && parsed.path.len() <= target::MAX_PATH);
    for renditions in [&[][..], &["720p", "audio-en"]] {
        let ids = renditions.iter().map(|id| RenditionId::parse(id).expect("an id"));
        let ids: Vec<RenditionId> = ids.collect();
        if let Ok(name) = target::of_viewer(parsed, &ids) {
            settled(&name);
        }
    }
    if let Ok(name) = target::of_tier(parsed) {
        settled(&name);
    }
}

/// What tiers ask each other for is read as it was written.
fn settled(name: &str) {
    let again = target::parse(name).expect("a tier writes what it reads");
    assert_eq!(again.token, None);
    assert_eq!(target::of_tier(again).as_deref(), Ok(name));
}
