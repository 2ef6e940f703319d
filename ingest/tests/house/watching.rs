//! Encoders that wait until a test lets them go, and what players see of a film that is published anew.

use std::{path::PathBuf, sync::Arc, time::Duration};

use contracts::asset::{Asset, Kind, StillSize};
use ingest::Config;
use packager::{Parts, Presentation, Source, index::Index};
use store::{Digest, layout};

use super::{House, write_program};

/// A house whose encoders do this before anything else when what they are told matches a pattern.
pub async fn house(
    (told, script): (&str, &str),
    change: impl FnOnce(&mut Config),
) -> (House, PathBuf) {
    let folder = tempfile::tempdir().unwrap().keep();
    let program = folder.join("ffmpeg");
    let script = format!("#!/bin/sh\ncase \"$*\" in {told}) {script};; esac\nexec ffmpeg \"$@\"\n");
    write_program(&program, &script);
    let house = House::with(|config| {
        config.ffmpeg = program.display().to_string();
        change(config);
    });
    (house.await, folder)
}

/// Until `go` lies in its room.
pub const HELD: &str = ": > begun; while [ ! -e go ]; do sleep 0.02; done";

pub fn names(asset: &Asset) -> String {
    let names: Vec<&str> = asset.renditions.iter().map(|r| r.id.as_str()).collect();
    names.join(" ")
}

/// Waits until an encoder stands and waits in its room.
pub async fn held(house: &House, room: &str) -> PathBuf {
    let mut looks = tokio::time::interval(Duration::from_millis(10));
    let room = house.folder.path().join("work").join(room).join("room");
    while !room.join("begun").exists() {
        looks.tick().await;
    }
    room
}

/// Lets the encoders of these rooms begin.
pub async fn go(house: &House, rooms: &[String]) {
    for room in rooms {
        let room = held(house, room).await;
        std::fs::write(room.join("go"), "").unwrap();
    }
}

/// What every segment of a rendition is made of, for each length of segments.
async fn cuts(house: &House, asset: &Asset, id: &str) -> Vec<Vec<packager::Segment>> {
    let mut parts = Parts::default();
    for rendition in asset.renditions.iter().filter(|of| of.kind != Kind::Text) {
        let key = layout::index(&asset.video, asset.generation, &rendition.id);
        let index = house.store.read(&key).await.unwrap().unwrap();
        parts.sources.push(Source {
            id: rendition.id.clone(),
            language: None,
            label: None,
            index: Arc::new(Index::decode(&index).unwrap()),
        });
    }
    let mut cuts = Vec::new();
    for seconds in 2..=6 {
        let film = Presentation::new(parts.clone(), Duration::from_secs(seconds)).unwrap();
        let rendition = film.renditions().iter().find(|of| of.id().as_str() == id);
        cuts.push(rendition.unwrap().segments().collect());
    }
    cuts
}

/// The mezzanine of a rendition, by its name.
pub async fn bytes(house: &House, asset: &Asset, id: &str) -> Digest {
    let rendition = asset.renditions.iter().find(|of| of.id.as_str() == id);
    let key = layout::mezzanine(&asset.video, asset.generation, &rendition.unwrap().id);
    Digest::of(&house.store.read(&key).await.unwrap().unwrap())
}

/// Whoever began with the first renditions goes on with the very same.
pub async fn is_undisturbed(
    house: &House,
    before: &Asset,
    seen: &[(Digest, Vec<Vec<packager::Segment>>)],
    after: &Asset,
) {
    for (rendition, (digest, segments)) in before.renditions.iter().zip(seen) {
        let id = rendition.id.as_str();
        assert_eq!(bytes(house, after, id).await, *digest, "{id}");
        assert_eq!(cuts(house, after, id).await, *segments, "{id}");
    }
    assert_eq!((after.stills.len(), &after.stills), (4, &before.stills));
    for number in 1..=4 {
        let still = |of: &Asset| {
            let which = (number, StillSize::Large);
            layout::still(&of.video, of.generation, which)
        };
        let was = house.store.read(&still(before)).await.unwrap().unwrap();
        assert_eq!(house.store.read(&still(after)).await.unwrap(), Some(was));
    }
}

pub async fn seen(house: &House, asset: &Asset) -> Vec<(Digest, Vec<Vec<packager::Segment>>)> {
    let mut seen = Vec::new();
    for rendition in &asset.renditions {
        let id = rendition.id.as_str();
        seen.push((bytes(house, asset, id).await, cuts(house, asset, id).await));
    }
    seen
}
