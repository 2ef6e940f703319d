//! A parent as it is configured.

/// One parent by its base URL, `http://host:port` or `https://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
}

/// Why a parent's URL is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be http://host:port or https://host:port, without a path")]
pub struct AddressError;

impl Address {
    /// Reads a parent's URL.
    ///
    /// # Errors
    /// When it is anything but scheme, host and port.
    pub fn parse(url: &str) -> Result<Self, AddressError> {
        let uri: http::Uri = url.parse().map_err(|_| AddressError)?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(AddressError),
        };
        let (Some(host), Some(port)) = (uri.host(), uri.port_u16()) else {
            return Err(AddressError);
        };
        let bare = !url.contains(['@', '?', '#']) && matches!(uri.path(), "" | "/");
        if !bare || port == 0 {
            return Err(AddressError);
        }
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            tls,
        })
    }

    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}
