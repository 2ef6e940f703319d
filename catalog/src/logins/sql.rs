//! Logins in the catalogue's database.

use async_trait::async_trait;
use contracts::id::{LoginId, UserId};
use contracts::time::UnixSeconds;
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction};

use super::{Holder, LEEWAY_S, Logins, NewLogin, Renewal};
use crate::digest::SecretDigest;
use crate::error::Error;
use crate::open::{begin, engine};
use crate::sql::{Row, change, seconds, statement};
use crate::users::Role;

/// The adapter for `SQLite` and PostgreSQL.
pub(crate) struct Sql {
    db: DatabaseConnection,
}

impl Sql {
    pub(crate) const fn new(db: DatabaseConnection) -> Self {
        Self { db }
    }
}

#[async_trait]
impl Logins for Sql {
    async fn begin(&self, new: NewLogin, password: &str) -> Result<bool, Error> {
        let within = begin(&self.db).await?;
        // Written, so that who changes the password meanwhile comes before, or after and ends this login too.
        let sql = "UPDATE users SET password = password WHERE id = $1 AND password = $2";
        let values = vec![new.user.as_str().into(), password.into()];
        if change(&within, sql, values).await? == 0 {
            return Ok(false);
        }
        let sql = "INSERT INTO logins (id, user_id, started_unix_s, expires_unix_s) \
                   VALUES ($1, $2, $3, $4)";
        let values = vec![
            new.id.as_str().into(),
            new.user.as_str().into(),
            seconds(new.started),
            seconds(new.expires),
        ];
        change(&within, sql, values).await?;
        give(&within, &new.token, &new.id, new.expires).await?;
        within.commit().await.map_err(engine)?;
        Ok(true)
    }

    async fn renew(
        &self,
        token: &SecretDigest,
        next: &SecretDigest,
        now: UnixSeconds,
        expires: UnixSeconds,
    ) -> Result<Renewal, Error> {
        let within = begin(&self.db).await?;
        // The login before its tokens, as whoever ends it has them: two who each held what the other wants would wait
        // for each other until the server ends one.
        let sql = "UPDATE logins SET expires_unix_s = expires_unix_s \
                   WHERE id = (SELECT login FROM login_tokens WHERE digest = $1)";
        change(&within, sql, vec![token.as_str().into()]).await?;
        let Some((login, used)) = take(&within, token, now).await? else {
            return Ok(Renewal::Unknown);
        };
        let Some(holder) = holder(&within, &login, now).await? else {
            return Ok(Renewal::Unknown);
        };
        if used.is_some_and(|used| used.0.saturating_add(LEEWAY_S) < now.0) {
            end(&within, &login).await?;
            within.commit().await.map_err(engine)?;
            return Ok(Renewal::Reused(holder.user));
        }
        let sql = "UPDATE logins SET expires_unix_s = $2 WHERE id = $1";
        let values = vec![login.as_str().into(), seconds(expires)];
        if change(&within, sql, values).await? == 0 {
            return Ok(Renewal::Unknown);
        }
        give(&within, next, &login, expires).await?;
        within.commit().await.map_err(engine)?;
        Ok(Renewal::Renewed(holder))
    }

    async fn holder(&self, id: &LoginId, now: UnixSeconds) -> Result<Option<Holder>, Error> {
        holder(&self.db, id, now).await
    }

    async fn end(&self, id: &LoginId) -> Result<(), Error> {
        end(&self.db, id).await
    }

    async fn end_by(&self, token: &SecretDigest) -> Result<(), Error> {
        let sql = "DELETE FROM logins WHERE id IN \
                   (SELECT login FROM login_tokens WHERE digest = $1)";
        change(&self.db, sql, vec![token.as_str().into()])
            .await
            .map(drop)
    }

    async fn end_all(&self, user: &UserId) -> Result<u64, Error> {
        let sql = "DELETE FROM logins WHERE user_id = $1";
        change(&self.db, sql, vec![user.as_str().into()]).await
    }

    async fn forget(&self, limit: UnixSeconds) -> Result<u64, Error> {
        let sql = "DELETE FROM login_tokens WHERE expires_unix_s < $1";
        let tokens = change(&self.db, sql, vec![seconds(limit)]).await?;
        let sql = "DELETE FROM logins WHERE expires_unix_s < $1";
        Ok(tokens + change(&self.db, sql, vec![seconds(limit)]).await?)
    }
}

/// Marks a token as used, and tells whose it is and when it was used before. Of two who take it at
/// once the second waits for the first, since both write to its row.
async fn take(
    within: &DatabaseTransaction,
    token: &SecretDigest,
    now: UnixSeconds,
) -> Result<Option<(LoginId, Option<UnixSeconds>)>, Error> {
    let sql = "UPDATE login_tokens SET expires_unix_s = expires_unix_s \
               WHERE digest = $1 AND expires_unix_s > $2 RETURNING login, used_unix_s";
    let values = vec![token.as_str().into(), seconds(now)];
    let row = within.query_one_raw(statement(sql, values)).await;
    let Some(row) = row.map_err(engine)? else {
        return Ok(None);
    };
    let table = "login_tokens";
    let row = Row { row: &row, table };
    let sql = "UPDATE login_tokens SET used_unix_s = COALESCE(used_unix_s, $2) WHERE digest = $1";
    change(within, sql, vec![token.as_str().into(), seconds(now)]).await?;
    let login = row.parsed("login", LoginId::parse)?;
    Ok(Some((login, row.optional_instant("used_unix_s")?)))
}

async fn give(
    within: &DatabaseTransaction,
    token: &SecretDigest,
    login: &LoginId,
    expires: UnixSeconds,
) -> Result<(), Error> {
    let sql = "INSERT INTO login_tokens (digest, login, expires_unix_s) VALUES ($1, $2, $3)";
    let values = vec![
        token.as_str().into(),
        login.as_str().into(),
        seconds(expires),
    ];
    change(within, sql, values).await.map(drop)
}

async fn holder(
    db: &impl ConnectionTrait,
    id: &LoginId,
    now: UnixSeconds,
) -> Result<Option<Holder>, Error> {
    let sql = "SELECT users.id AS user_id, users.role AS role FROM logins \
               JOIN users ON users.id = logins.user_id \
               WHERE logins.id = $1 AND logins.expires_unix_s > $2";
    let values = vec![id.as_str().into(), seconds(now)];
    let row = db.query_one_raw(statement(sql, values)).await;
    let Some(row) = row.map_err(engine)? else {
        return Ok(None);
    };
    let table = "users";
    let row = Row { row: &row, table };
    Ok(Some(Holder {
        login: id.clone(),
        user: row.parsed("user_id", UserId::parse)?,
        role: row.parsed("role", |word| Role::parse(word).ok_or(()))?,
    }))
}

async fn end(db: &impl ConnectionTrait, id: &LoginId) -> Result<(), Error> {
    let sql = "DELETE FROM logins WHERE id = $1";
    change(db, sql, vec![id.as_str().into()]).await.map(drop)
}
