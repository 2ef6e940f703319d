//! The tables of accounts, logins and API keys.

/// Accounts, what stands for them, and the keys of backends. What belongs to an account goes with
/// it.
pub(super) const TABLES: [&str; 8] = [
    "CREATE TABLE users (
        id TEXT NOT NULL PRIMARY KEY,
        email TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        role TEXT NOT NULL,
        password TEXT NOT NULL,
        created_unix_s BIGINT NOT NULL)",
    "CREATE TABLE invitations (
        digest TEXT NOT NULL PRIMARY KEY,
        role TEXT NOT NULL,
        expires_unix_s BIGINT NOT NULL)",
    "CREATE TABLE logins (
        id TEXT NOT NULL PRIMARY KEY,
        user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        started_unix_s BIGINT NOT NULL,
        expires_unix_s BIGINT NOT NULL)",
    "CREATE INDEX logins_of_user ON logins (user_id)",
    "CREATE TABLE login_tokens (
        digest TEXT NOT NULL PRIMARY KEY,
        login TEXT NOT NULL REFERENCES logins (id) ON DELETE CASCADE,
        expires_unix_s BIGINT NOT NULL,
        used_unix_s BIGINT)",
    "CREATE INDEX login_tokens_of_login ON login_tokens (login)",
    "CREATE INDEX login_tokens_expiring ON login_tokens (expires_unix_s)",
    "CREATE TABLE api_keys (
        id TEXT NOT NULL PRIMARY KEY,
        name TEXT NOT NULL,
        digest TEXT NOT NULL UNIQUE,
        scopes TEXT NOT NULL,
        created_unix_s BIGINT NOT NULL,
        expires_unix_s BIGINT)",
];

/// Names, and until when what failed under them counts.
pub(super) const GUESSES: [&str; 2] = [
    "CREATE TABLE guesses (
        name TEXT NOT NULL PRIMARY KEY,
        until_unix_s BIGINT NOT NULL)",
    "CREATE INDEX guesses_until ON guesses (until_unix_s)",
];
