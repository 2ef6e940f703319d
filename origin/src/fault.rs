//! Why something cannot be served: what travels, and what only the log says.

use contracts::reason::Reason;
pub(crate) use store::with_causes;

/// A reason, and the detail of it for the operator. The detail never holds a key.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) reason: Reason,
    pub(crate) detail: String,
}

impl Fault {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }

    pub(crate) fn corrupt(detail: impl Into<String>) -> Self {
        Self::new(Reason::Corrupt, detail)
    }

    pub(crate) fn not_found() -> Self {
        Self::new(Reason::NotFound, "there is no such thing")
    }

    /// The film is protected, and what it is to be encrypted with is not known.
    pub(crate) fn keys(detail: impl Into<String>) -> Self {
        Self::new(Reason::Keys, detail)
    }
}

impl From<store::Error> for Fault {
    fn from(error: store::Error) -> Self {
        let reason = match error {
            store::Error::Corrupt { .. } | store::Error::TooLarge { .. } => Reason::Corrupt,
            _ => Reason::Unreachable,
        };
        Self::new(reason, with_causes(&error))
    }
}

impl From<packager::Error> for Fault {
    fn from(error: packager::Error) -> Self {
        let reason = match error {
            packager::Error::Keys(_) => Reason::Keys,
            // Nothing is damaged: the film has no such form, and is not read again to see whether it has.
            packager::Error::Unsupported(_) => Reason::NotFound,
            _ => Reason::Corrupt,
        };
        Self::new(reason, error.to_string())
    }
}

impl From<tokio::task::JoinError> for Fault {
    fn from(stopped: tokio::task::JoinError) -> Self {
        Self::new(Reason::Internal, stopped.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_packed_is_not_there_and_what_is_damaged_is_corrupt() {
        let faults = [
            (packager::Error::Unsupported("so"), Reason::NotFound),
            (packager::Error::Mismatch { sample: 7 }, Reason::Corrupt),
            (packager::Error::Keys("none"), Reason::Keys),
        ];
        for (error, reason) in faults {
            assert_eq!(Fault::from(error).reason, reason);
        }
    }

    #[test]
    fn a_fault_of_the_store_tells_all_its_causes() {
        let error = store::Error::Io {
            subject: "encoded/film".to_owned(),
            action: "reading",
            source: std::io::Error::other("the disk is on fire"),
        };
        let fault = Fault::from(error);
        assert_eq!(fault.reason, Reason::Unreachable);
        assert_eq!(
            fault.detail,
            "encoded/film: reading failed: the disk is on fire"
        );
    }
}
