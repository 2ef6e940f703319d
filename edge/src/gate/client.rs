//! Who asks, and what they show in fields.

use std::net::IpAddr;

use contracts::header::{CAT, CAT_COOKIE, CLIENT_COUNTRY, CLIENT_IP};
use http::{HeaderMap, header};
use ipnet::IpNet;
use tier::admission::Facts;

/// Where the client is: the socket's other end, or what a trusted hop says of it.
pub(super) fn whereabouts<'a>(
    facts: &Facts<'a>,
    trusted_hops: &[IpNet],
) -> (Option<IpAddr>, Option<&'a str>) {
    let peer = facts.peer.map(|ip| ip.to_canonical());
    let trusted = peer.is_some_and(|peer| trusted_hops.iter().any(|net| net.contains(&peer)));
    if !trusted {
        return (peer, None);
    }
    let field = |name| {
        let value = facts.headers.get(name);
        value.and_then(|value| value.to_str().ok())
    };
    let client: Option<IpAddr> = match field(CLIENT_IP) {
        Some(text) => text.parse().ok(),
        None => peer,
    };
    (client.map(|ip| ip.to_canonical()), field(CLIENT_COUNTRY))
}

/// All Common Access Tokens in fields and cookies. What is not text is none that could be in order.
pub(super) fn cats(headers: &HeaderMap) -> Vec<&str> {
    let in_fields = headers.get_all(CAT).iter();
    let in_fields = in_fields.map(|value| value.to_str().unwrap_or_default().trim());
    let cookies = headers.get_all(header::COOKIE).iter();
    let in_cookies = cookies
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .filter_map(|pair| pair.trim_ascii_start().strip_prefix(CAT_COOKIE.as_bytes()))
        .filter_map(|rest| rest.strip_prefix(b"="))
        .map(|value| std::str::from_utf8(value).unwrap_or_default().trim_end());
    in_fields.chain(in_cookies).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_in_fields_and_cookies() {
        let mut headers = HeaderMap::new();
        assert!(cats(&headers).is_empty());
        let line = "a=b; CTA-Common-Access-Token=one ;cta-common-access-token=no; CTA-Common-Access-Tokens=no";
        headers.append(header::COOKIE, line.parse().unwrap());
        assert_eq!(cats(&headers), ["one"]);
        headers.append(
            header::COOKIE,
            "CTA-Common-Access-Token=two".parse().unwrap(),
        );
        headers.append(CAT, " three".parse().unwrap());
        headers.append(CAT, http::HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(cats(&headers), ["three", "", "one", "two"]);
    }
}
