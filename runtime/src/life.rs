//! From when until when a certificate is good.

use contracts::time::UnixSeconds;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

/// The life of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    from: UnixSeconds,
    until: UnixSeconds,
}

impl Life {
    /// That of a certificate; `None`: it is none.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let validity = certificate.validity();
        let seconds = |time: i64| u64::try_from(time).ok().map(UnixSeconds);
        Some(Self {
            from: seconds(validity.not_before.timestamp())?,
            until: seconds(validity.not_after.timestamp())?,
        })
    }

    /// That of the first certificate in a PEM text.
    #[must_use]
    pub fn of_pem(pem: &str) -> Option<Self> {
        Self::of(&CertificateDer::from_pem_slice(pem.as_bytes()).ok()?)
    }

    /// The instant from which on it is good no more.
    #[must_use]
    pub const fn until(&self) -> UnixSeconds {
        self.until
    }

    /// Whether it is good at an instant.
    #[must_use]
    pub fn holds(&self, now: UnixSeconds) -> bool {
        self.from <= now && now < self.until
    }

    /// Whether half of it is over.
    #[must_use]
    pub const fn is_half_over(&self, now: UnixSeconds) -> bool {
        let half = self.until.0.saturating_sub(self.from.0) / 2;
        now.0 >= self.from.0.saturating_add(half)
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn a_certificate_lives_from_its_beginning_to_its_end_and_is_renewed_at_half() {
        let mut params = CertificateParams::new(vec!["a".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2026, 1, 11);
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let life = Life::of_pem(&made.pem()).unwrap();
        let (from, day) = (1_767_225_600, 86_400);
        let on = |days: u64| UnixSeconds(from + days * day);
        let held = [0, 4, 5, 9, 10].map(|days| (life.holds(on(days)), life.is_half_over(on(days))));
        assert_eq!(
            held,
            [
                (true, false),
                (true, false),
                (true, true),
                (true, true),
                (false, true)
            ]
        );
        assert!(!life.holds(UnixSeconds(from - 1)));
        assert_eq!(Life::of_pem("no certificate"), None);
    }
}
