//! The claims of a token: `k=v` joined by `&`, one letter a key, strictly ascending.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::address::{Address, Item, THUMBS};
use crate::id::{RenditionId, SessionId};
use crate::reason::Reason;
use crate::target::MAX_PATH;
use crate::time::UnixSeconds;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `a`: the client's networks; empty admits all.
    pub networks: Vec<IpNet>,
    /// `c`: the client's country; `None` admits all.
    pub countries: Option<Countries>,
    /// `e`: the first second at which the token is no longer good.
    pub expires: UnixSeconds,
    /// `n`: the first second at which it is good.
    pub not_before: Option<UnixSeconds>,
    /// `p`: a path; with `/` at the end everything below it, else exactly it.
    pub path: String,
    /// `r`: the renditions; empty admits all.
    pub renditions: Vec<RenditionId>,
    /// `s`: the playback session.
    pub session: Option<SessionId>,
}

/// A rule on ISO 3166-1 alpha-2 codes; `ZZ` stands for a country that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Countries {
    /// Only these.
    Only(Vec<String>),
    /// All but these.
    Except(Vec<String>),
}

impl Claims {
    /// Claims that need nothing but a path and an expiry.
    #[must_use]
    pub fn new(path: impl Into<String>, expires: UnixSeconds) -> Self {
        Self {
            networks: Vec::new(),
            countries: None,
            expires,
            not_before: None,
            path: path.into(),
            renditions: Vec::new(),
            session: None,
        }
    }

    /// Reads claims.
    ///
    /// # Errors
    /// [`Reason::Malformed`] outside the grammar: an unknown lower-case key, a key out of order or
    /// repeated, a value that has another form, `e` or `p` missing. Upper-case keys are ignored.
    pub fn parse(text: &[u8]) -> Result<Self, Reason> {
        let text = std::str::from_utf8(text).map_err(|_| Reason::Malformed)?;
        if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(Reason::Malformed);
        }
        let mut claims = Self::new(String::new(), UnixSeconds(0));
        let mut last = None;
        for pair in text.split('&') {
            let (name, value) = pair.split_once('=').ok_or(Reason::Malformed)?;
            let [name] = name.as_bytes() else {
                return Err(Reason::Malformed);
            };
            if !name.is_ascii_alphabetic() || value.is_empty() || last >= Some(*name) {
                return Err(Reason::Malformed);
            }
            last = Some(*name);
            claims.set(*name, value)?;
        }
        if claims.path.is_empty() || claims.expires.0 == 0 {
            return Err(Reason::Malformed);
        }
        Ok(claims)
    }

    fn set(&mut self, name: u8, value: &str) -> Result<(), Reason> {
        match name {
            b'a' => self.networks = list(value, network)?,
            b'c' => self.countries = Some(countries(value)?),
            b'e' => self.expires = instant(value)?,
            b'n' => self.not_before = Some(instant(value)?),
            b'p' if is_scope(value) => value.clone_into(&mut self.path),
            b'r' => self.renditions = list(value, |item| RenditionId::parse(item).ok())?,
            b's' => {
                self.session = Some(SessionId::parse(value).map_err(|_| Reason::Malformed)?);
            }
            b'A'..=b'Z' => {}
            _ => return Err(Reason::Malformed),
        }
        Ok(())
    }

    /// The claims as text, in the one order that [`Claims::parse`] takes.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut pairs = Vec::new();
        if !self.networks.is_empty() {
            pairs.push(format!("a={}", join(&self.networks)));
        }
        match &self.countries {
            Some(Countries::Only(list)) => pairs.push(format!("c={}", list.join(","))),
            Some(Countries::Except(list)) => pairs.push(format!("c=!{}", list.join(","))),
            None => {}
        }
        pairs.push(format!("e={}", self.expires));
        pairs.extend(self.not_before.map(|instant| format!("n={instant}")));
        pairs.push(format!("p={}", self.path));
        if !self.renditions.is_empty() {
            pairs.push(format!("r={}", join(&self.renditions)));
        }
        pairs.extend(self.session.iter().map(|session| format!("s={session}")));
        pairs.join("&")
    }

    /// Whether the claims admit a path.
    #[must_use]
    pub fn covers(&self, path: &str) -> bool {
        covers(&self.path, path)
    }

    /// Whether the claims admit a client's address; an unknown one only when all are admitted.
    #[must_use]
    pub fn admits_address(&self, address: Option<IpAddr>) -> bool {
        self.networks.is_empty()
            || address.is_some_and(|address| {
                let address = address.to_canonical();
                self.networks
                    .iter()
                    .any(|network| network.contains(&address))
            })
    }

    /// Whether the claims admit a country; `None` is `ZZ`.
    #[must_use]
    pub fn admits_country(&self, country: Option<&str>) -> bool {
        let country = country.unwrap_or("ZZ");
        match &self.countries {
            None => true,
            Some(Countries::Only(list)) => list.iter().any(|code| code == country),
            Some(Countries::Except(list)) => list.iter().all(|code| code != country),
        }
    }

    /// Whether the claims admit the rendition that a path names; manifests name none.
    #[must_use]
    pub fn admits_rendition(&self, path: &str) -> bool {
        if self.renditions.is_empty() {
            return true;
        }
        let admits = |rendition: &str| {
            let mut allowed = self.renditions.iter().map(RenditionId::as_str);
            allowed.any(|allowed| allowed == rendition)
        };
        if let Ok(address) = Address::parse(path) {
            return match &address.item {
                Item::ThumbnailSprite | Item::ThumbnailSheet(_) => admits(THUMBS),
                item => item
                    .rendition()
                    .is_none_or(|rendition| admits(rendition.as_str())),
            };
        }
        // Of the same shape, with a file that is none of ours.
        let mut parts = path.split('/').skip(3);
        match (parts.next(), parts.next()) {
            (Some(rendition), Some(_file)) => admits(rendition),
            _ => true,
        }
    }
}

/// Whether `scope` (a subtree when it ends in `/`, else one path) holds `path`.
pub(super) fn covers(scope: &str, path: &str) -> bool {
    if scope.ends_with('/') {
        path.starts_with(scope)
    } else {
        scope == path
    }
}

/// A path of the target grammar, or a subtree of such paths.
pub(super) fn is_scope(text: &str) -> bool {
    let object = text.strip_suffix('/').unwrap_or(text);
    text == "/" || (text.len() <= MAX_PATH && crate::target::is_path(object))
}

pub(super) fn instant(value: &str) -> Result<UnixSeconds, Reason> {
    let canonical = matches!(value.len(), 1..=11)
        && value.bytes().all(|byte| byte.is_ascii_digit())
        && !value.starts_with('0');
    if !canonical {
        return Err(Reason::Malformed);
    }
    value
        .parse()
        .map(UnixSeconds)
        .map_err(|_| Reason::Malformed)
}

fn list<T>(value: &str, item: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Reason> {
    value
        .split(',')
        .map(|part| item(part).ok_or(Reason::Malformed))
        .collect()
}

/// A canonical network: written as it would be printed, and no bit set beyond the prefix.
fn network(text: &str) -> Option<IpNet> {
    let network: IpNet = text.parse().ok()?;
    (network.trunc() == network && network.to_string() == text).then_some(network)
}

fn countries(value: &str) -> Result<Countries, Reason> {
    let (codes, except) = match value.strip_prefix('!') {
        Some(codes) => (codes, true),
        None => (value, false),
    };
    let codes = list(codes, |code| {
        (code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase()))
            .then(|| code.to_owned())
    })?;
    Ok(if except {
        Countries::Except(codes)
    } else {
        Countries::Only(codes)
    })
}

fn join<T: ToString>(items: &[T]) -> String {
    items
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(",")
}
