//! A node that has joined a house: somebody else's machine that serves the house's viewers.
//!
//! 1. [`join`] makes the node's key and has it certified, with a token that counts once; later starts find all that in
//!    the node's [`Folder`].
//! 2. [`Folder::adapt`] puts what the house wishes into the configuration that the node's operator wrote.
//! 3. A [`Member`] says how the node is, takes new settings and renews its certificate while the node serves.
//!
//! All connections are the node's own: nobody has to reach it but viewers. Its key never leaves the folder.

mod attend;
mod control;
mod figures;
mod folder;

use std::path::PathBuf;

use contracts::fleet::{Announce, Enrol, JoinToken};
use contracts::id::NodeId;
use runtime::clock::{Clock as _, System};
use runtime::life::Life;

pub use attend::Member;
use control::Control;
pub use control::Fault;
pub use folder::Folder;

/// Why a node cannot join, or be a member.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the folder cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file of the folder holds something else.
    #[error("{}: {what}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// There is no token, and no node either.
    #[error("{} holds no node that has joined: a join token is needed", .0.display())]
    NoNode(PathBuf),
    /// Nothing says how viewers reach it.
    #[error("node.base must say how viewers reach the node, such as https://edge.isp.example")]
    NoBase,
    /// The control plane says no.
    #[error("the control plane refuses the join: {0}")]
    Refused(String),
    /// It was not reached.
    #[error(transparent)]
    Control(#[from] Fault),
    /// It answered with what is not as it should be.
    #[error("the control plane's answer to the join is refused: {0}")]
    Answer(&'static str),
    /// No key could be made, or no request with it.
    #[error("no key: {0}")]
    Key(String),
}

/// Makes sure that the folder holds a node: one that has joined before stays as it is, and needs no token.
///
/// # Errors
/// Why there is none.
pub async fn join(
    folder: &Folder,
    token: Option<&JoinToken>,
    announce: Option<&Announce>,
) -> Result<NodeId, Error> {
    if let Some(known) = folder.known()? {
        return Ok(known.name);
    }
    let token = token.ok_or_else(|| Error::NoNode(folder.path().to_owned()))?;
    let announce = announce.ok_or(Error::NoBase)?;
    let csr = folder.request()?;
    let enrol = Enrol {
        secret: token.secret.clone(),
        csr,
        announce: announce.clone(),
    };
    let control = Control::pinned(token)?;
    let enrolled = match control.enrol(&enrol).await {
        Err(Fault::Refused { status: 403, .. }) => {
            let why = "the token is unknown, was used, or has expired; have another one made (millrace invite)";
            return Err(Error::Refused(why.to_owned()));
        }
        Err(Fault::Refused { said, .. }) => return Err(Error::Refused(said)),
        Err(fault) => return Err(fault.into()),
        Ok(enrolled) => enrolled,
    };
    if !control::is_authority(&enrolled.authority, token) {
        return Err(Error::Answer(
            "it is of another authority than the token names",
        ));
    }
    let life = Life::of_pem(&enrolled.certificate);
    let life = life.ok_or(Error::Answer("it holds no certificate"))?;
    if !life.holds(System.now()) {
        return Err(Error::Answer(
            "its certificate is not valid now by this machine's clock; is the clock right?",
        ));
    }
    folder.keep(&enrolled)?;
    Ok(enrolled.name)
}
