//! Who calls, as the control plane tells other roles that are shown a credential.

use serde::{Deserialize, Serialize};

use crate::id::{ApiKeyId, UserId};

/// Whose credential it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Caller {
    /// The operator, by the operator key.
    Operator,
    /// Somebody with an account, or whom an outside issuer vouches for.
    User {
        /// Who it is.
        user_id: UserId,
        /// What they may do: `viewer`, `publisher` or `operator`.
        role: String,
    },
    /// A backend with an API key.
    Backend {
        /// Which key.
        api_key_id: ApiKeyId,
        /// What it may be used for; words of another version of this program mean nothing.
        scopes: Vec<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_credential_it_is_reads_back_from_its_own_text() {
        let user = r#"{"kind":"user","user_id":"u1","role":"publisher"}"#;
        let backend = r#"{"kind":"backend","api_key_id":"k1","scopes":["upload","later"]}"#;
        for text in [r#"{"kind":"operator"}"#, user, backend] {
            let caller: Caller = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&caller).unwrap(), text);
        }
    }
}
