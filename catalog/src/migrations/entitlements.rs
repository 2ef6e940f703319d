//! The tables of who may watch what: grants, and films' rules.

/// Grants and rules. A grant that does not end has the last instant there is.
pub(super) const TABLES: [&str; 4] = [
    "CREATE TABLE grants (
        id TEXT NOT NULL PRIMARY KEY,
        account TEXT NOT NULL,
        kind TEXT NOT NULL,
        target TEXT NOT NULL,
        from_unix_s BIGINT NOT NULL,
        until_unix_s BIGINT NOT NULL,
        created_unix_s BIGINT NOT NULL)",
    "CREATE INDEX grants_of_account ON grants (account, kind, target)",
    "CREATE INDEX grants_of_target ON grants (kind, target, id)",
    "CREATE TABLE film_rules (
        video TEXT NOT NULL PRIMARY KEY,
        audience TEXT NOT NULL,
        countries TEXT)",
];
