//! What the DRM systems of a CPIX document are called, and the key tags that it has.

use contracts::keys::System;

/// The systems that a document may tell of, by their UUIDs. Clear Key has that of the W3C common box.
pub(super) const SYSTEMS: [(System, &str); 4] = [
    (System::Widevine, "edef8ba9-79d6-4ace-a3c8-27dcd51d21ed"),
    (System::PlayReady, "9a04f079-9840-4286-ab92-e65be0885f95"),
    (System::FairPlay, "94ce86fb-07ff-4f43-adb8-93d2fa968ca2"),
    (System::ClearKey, "1077efec-c0b2-4d02-ace3-3c1e52e2fb4b"),
];

/// The key tags of HLS playlists.
pub(super) const PLAYLISTS: [(&str, &str); 2] =
    [("master", "#EXT-X-SESSION-KEY"), ("media", "#EXT-X-KEY")];
