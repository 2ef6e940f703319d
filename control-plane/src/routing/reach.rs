//! Where a film plays for somebody: what routing asks, answered from the catalogue's video and the keyring.

use std::net::IpAddr;

use catalog::videos::Video;
use contracts::time::UnixSeconds;

use crate::app::App;
use crate::routing::{Film, Place, Watcher};

impl<'a> Watcher<'a> {
    /// Somebody of whom nothing is known but the address.
    pub(crate) fn at(address: IpAddr) -> Self {
        Self {
            address,
            // Without randomness nobody is given up before the others.
            draw: getrandom::u64().unwrap_or(u64::MAX),
            current: None,
        }
    }
}

impl App {
    /// The edges that a film plays from with a token, the best first; after them the same ones without TLS.
    pub(crate) fn places(&self, video: &Video, viewer: Watcher<'_>) -> Vec<Place> {
        let now = self.clock.now();
        let film = self.film(video, now);
        self.routing.all_places(film, viewer, now)
    }

    /// The same without partners' edges: what one of them says is for its own viewers alone.
    pub(crate) fn own_places(&self, video: &Video, viewer: Watcher<'_>) -> Vec<Place> {
        let now = self.clock.now();
        let film = Film {
            m2: false,
            ..self.film(video, now)
        };
        self.routing.all_places(film, viewer, now)
    }

    /// The edges among which a player may be steered.
    pub(crate) fn pathways(&self, video: &Video, viewer: Watcher<'_>) -> Vec<Place> {
        let now = self.clock.now();
        self.routing.places(self.film(video, now), viewer, now)
    }

    fn film<'a>(&self, video: &'a Video, now: UnixSeconds) -> Film<'a> {
        Film {
            id: video.id.as_str(),
            protected: video.protected,
            m2: self.routing.wants_m2() && self.signer.mints_m2(&video.id, now),
        }
    }
}
