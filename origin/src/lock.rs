//! How a protected film is encrypted under an address: the one table of methods, and the keys at hand.

use std::sync::Arc;

use contracts::{
    address::{Address, Flavour, Item, KeyFormat, Protection, TEXT, THUMBS, View},
    asset::Asset,
    keys::{ContentKeys, KeySet, System},
};
use packager::{Rendition, protect};
use sha2::{Digest, Sha256};

use crate::{fault::Fault, keys::Since};

/// The encryption of what an address names.
#[derive(Clone)]
pub(crate) struct Lock {
    pub(crate) protection: Arc<protect::Protection>,
    /// The document that it was made of.
    pub(crate) keys: Arc<ContentKeys>,
    /// Stands for all that the keys do to the bytes.
    pub(crate) digest: [u8; 32],
}

/// What an address is to the table of methods.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    /// Something that is packed, or that names it.
    Packed(Flavour),
    /// As [`Room::Packed`] for DASH, which knows no encryption of whole segments and no HLS key format.
    Dash,
    /// The key itself.
    Key,
    /// What is never encrypted: text and still pictures. Any view that the film has may stand before it.
    Clear,
}

impl Lock {
    /// The encryption of what the address names; none where it leaves in the clear. It fails closed: a protected film
    /// whose keys are not known gives an error, whatever the cause.
    ///
    /// # Errors
    /// [`Reason::NotFound`](contracts::reason::Reason::NotFound) for a view that the film has not,
    /// [`Reason::Keys`](contracts::reason::Reason::Keys) when there are no keys, and what [`Since::of`] says.
    pub(crate) async fn of(
        asset: &Asset,
        address: &Address,
        keys: Option<Since<'_>>,
    ) -> Result<Option<Self>, Fault> {
        let View {
            protection,
            key_format,
            keys: wanted,
            ..
        } = address.view;
        let room = room(&address.item);
        if !asset.protected {
            let plain = View {
                segment_s: None,
                ..address.view
            }
            .is_default()
                && room != Room::Key;
            return if plain {
                Ok(None)
            } else {
                Err(Fault::not_found())
            };
        }
        let method = method(room, protection, key_format).ok_or_else(Fault::not_found)?;
        if room == Room::Clear && wanted.is_none() {
            return Ok(None);
        }
        let keys = keys.ok_or_else(|| Fault::keys("no source of keys is configured"))?;
        let keys = keys.of(&asset.video).await?;
        let keys = keys.ok_or_else(|| Fault::keys("the source of keys does not know the film"))?;
        let set = set(&address.item, wanted, &keys);
        let document = keys.of_set(set).ok_or_else(Fault::not_found)?;
        if room == Room::Clear {
            return Ok(None);
        }
        let needed = systems(room, method, key_format);
        if !needed.is_empty() && !needed.iter().any(|system| keys.systems.contains(system)) {
            return Err(Fault::not_found());
        }
        let protection = protect::Protection::new(&document, method, key_format)?;
        let document = serde_json::to_vec(&document).unwrap_or_default();
        Ok(Some(Self {
            protection: Arc::new(protection.within(folder(address.view, set))),
            digest: Sha256::digest(document).into(),
            keys,
        }))
    }

    /// Whether a rendition can be encrypted so: a codec whose pictures cannot is not offered so.
    ///
    /// # Errors
    /// [`Reason::Keys`](contracts::reason::Reason::Keys) when no key is for such a rendition.
    pub(crate) fn can_encrypt(&self, rendition: &Rendition) -> Result<bool, Fault> {
        match self.protection.covers_one(rendition) {
            Ok(()) => Ok(true),
            Err(packager::Error::Unsupported(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// The set of keys that an address is about. What lists a whole film lists it as it is encrypted now; what lies below
/// an address without a set has been there since the first one, and must not become something else.
fn set(item: &Item, wanted: Option<KeySet>, keys: &ContentKeys) -> KeySet {
    match item {
        Item::Master(_) | Item::Manifest => wanted.unwrap_or(keys.set),
        _ => wanted.unwrap_or(KeySet::FIRST),
    }
}

/// The way from a listing in a view to what is encrypted with a set of keys.
fn folder(view: View, set: KeySet) -> String {
    if view.keys.unwrap_or(KeySet::FIRST) == set {
        return String::new();
    }
    let up = if view.is_default() { "" } else { "../" };
    let keys = Some(set);
    format!("{up}@{}/", View { keys, ..view })
}

fn room(item: &Item) -> Room {
    match item {
        Item::Playlist(id, _) if id.as_str() == THUMBS || id.as_str().starts_with(TEXT) => {
            Room::Clear
        }
        Item::Master(flavour)
        | Item::Playlist(_, flavour)
        | Item::Iframes(_, flavour)
        | Item::Segment(_, _, flavour)
        | Item::Iframe(_, _, flavour) => Room::Packed(*flavour),
        Item::Init(_) => Room::Packed(Flavour::Cmaf),
        Item::Manifest => Room::Dash,
        Item::Key(_) => Room::Key,
        Item::Cues(..)
        | Item::Subtitles(_)
        | Item::Sheet(..)
        | Item::Sprite(_)
        | Item::Poster
        | Item::ThumbnailSprite
        | Item::ThumbnailSheet(_)
        | Item::Still(..)
        | Item::Captions(_) => Room::Clear,
    }
}

/// The method of a protected film in a view; none where there is no such thing.
fn method(
    room: Room,
    wanted: Option<Protection>,
    key_format: Option<KeyFormat>,
) -> Option<Protection> {
    let method = match (room, wanted) {
        (Room::Packed(Flavour::Ts), None) => Protection::Aes128,
        (_, None) => Protection::Cbcs,
        (_, Some(method)) => method,
    };
    let in_cmaf = matches!(method, Protection::Cenc | Protection::Cbcs);
    let in_ts = method == Protection::SampleAes;
    // Players who decipher whole segments, or samples in transport streams, know no Clear Key.
    let has_format = in_cmaf || key_format != Some(KeyFormat::ClearKey);
    let is_known = match room {
        Room::Packed(Flavour::Cmaf) => !in_ts && has_format,
        Room::Packed(Flavour::Ts) => !in_cmaf && has_format,
        Room::Dash => in_cmaf && key_format.is_none(),
        Room::Key => key_format != Some(KeyFormat::ClearKey),
        Room::Clear => true,
    };
    is_known.then_some(method)
}

/// The systems of which the film must have one to be offered so; none where any will do.
const fn systems(
    room: Room,
    method: Protection,
    key_format: Option<KeyFormat>,
) -> &'static [System] {
    match (room, method, key_format) {
        // What `sampleaes` leaves clear is what `cbcs` encrypts, and the other way round: both together are the film.
        // It is for films whose key goes to whoever may fetch them anyway.
        (Room::Key, ..)
        | (_, Protection::Aes128 | Protection::SampleAes, _)
        | (_, _, Some(KeyFormat::Identity)) => &[System::Identity],
        (_, _, Some(KeyFormat::ClearKey)) => &[System::ClearKey],
        (_, Protection::Cenc | Protection::Cbcs, None) => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> Option<Protection> {
        let address = Address::parse(path).unwrap();
        let View {
            protection,
            key_format,
            ..
        } = address.view;
        method(room(&address.item), protection, key_format)
    }

    #[test]
    fn cmaf_is_cbcs_and_a_transport_stream_aes_128_unless_a_view_says_otherwise() {
        use Protection::{Aes128, Cbcs, Cenc, SampleAes};
        for (path, method) in [
            ("/v/a/master.m3u8", Cbcs),
            ("/v/a/manifest.mpd", Cbcs),
            ("/v/a/x/segment_1.m4s", Cbcs),
            ("/v/a/x/init.mp4", Cbcs),
            ("/v/a/@2s/x/init.mp4", Cbcs),
            ("/v/a/@cenc/manifest.mpd", Cenc),
            ("/v/a/@cenc/x/iframe_1.m4s", Cenc),
            ("/v/a/@cbcs,clearkey/x/playlist.m3u8", Cbcs),
            ("/v/a/@aes128/x/segment_1.m4s", Aes128),
            ("/v/a/@aes128,identity/x/init.mp4", Aes128),
            ("/v/a/master_ts.m3u8", Aes128),
            ("/v/a/x/segment_1.ts", Aes128),
            ("/v/a/@aes128/x/segment_1.ts", Aes128),
            ("/v/a/@sampleaes/master_ts.m3u8", SampleAes),
            ("/v/a/@sampleaes,identity/x/segment_1.ts", SampleAes),
            ("/v/a/@sampleaes/x/content.key", SampleAes),
        ] {
            assert_eq!(of(path), Some(method), "{path}");
        }
    }

    #[test]
    fn only_what_lists_a_film_without_a_set_leads_to_another_folder() {
        let set = |number: &str| KeySet::parse(number).unwrap();
        for (path, now, about, way) in [
            ("/v/a/master.m3u8", "1", "1", ""),
            ("/v/a/master.m3u8", "2", "2", "@k2/"),
            ("/v/a/@cenc,2s/manifest.mpd", "3", "3", "../@cenc,k3,2s/"),
            ("/v/a/@clearkey,k2/master.m3u8", "3", "2", ""),
            ("/v/a/@k3/master_ts.m3u8", "3", "3", ""),
            ("/v/a/x/playlist.m3u8", "2", "1", ""),
            ("/v/a/x/segment_1.m4s", "2", "1", ""),
            ("/v/a/@k2,2s/x/init.mp4", "3", "2", ""),
        ] {
            let address = Address::parse(path).unwrap();
            let keys = ContentKeys {
                video: address.video,
                systems: Vec::new(),
                license_urls: Default::default(),
                set: set(now),
                periods: Vec::new(),
                retired: Vec::new(),
            };
            let found = super::set(&address.item, address.view.keys, &keys);
            assert_eq!(found, set(about), "{path}");
            assert_eq!(folder(address.view, found), way, "{path}");
        }
    }

    #[test]
    fn a_method_that_a_format_does_not_know_is_no_address() {
        for path in [
            "/v/a/@aes128/manifest.mpd",
            "/v/a/@sampleaes/manifest.mpd",
            "/v/a/@clearkey/manifest.mpd",
            "/v/a/@cenc/master_ts.m3u8",
            "/v/a/@cbcs/x/segment_1.ts",
            "/v/a/@sampleaes/x/segment_1.m4s",
            "/v/a/@sampleaes,clearkey/x/segment_1.ts",
            "/v/a/@aes128,clearkey/x/segment_1.ts",
            "/v/a/@clearkey/x/segment_1.ts",
            "/v/a/@clearkey/x/content.key",
        ] {
            assert_eq!(of(path), None, "{path}");
        }
    }
}
