//! The one cryptography provider of the process.

/// Makes aws-lc-rs the provider of every TLS stack in the process. Called first in `main`, and by
/// every role before it opens a listener: a library that would install another one comes too late.
pub fn install_provider() {
    // The error says that a provider is installed already, by an earlier call of this function.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
