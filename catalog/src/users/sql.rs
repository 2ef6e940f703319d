//! Accounts in the catalogue's database.

use async_trait::async_trait;
use contracts::id::UserId;
use contracts::time::UnixSeconds;
use sea_orm::{ConnectionTrait, DatabaseConnection, QueryResult};

use super::{Joined, NewUser, Role, User, Users};
use crate::digest::SecretDigest;
use crate::error::Error;
use crate::open::{begin, begin_alone, engine};
use crate::sql::{Row, change, seconds, statement};
use crate::words;

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
impl Users for Sql {
    async fn create(&self, new: NewUser, now: UnixSeconds) -> Result<Joined, Error> {
        insert(&self.db, new, now).await
    }

    async fn join(
        &self,
        new: NewUser,
        invitation: &SecretDigest,
        now: UnixSeconds,
    ) -> Result<Joined, Error> {
        let within = begin(&self.db).await?;
        let sql =
            "DELETE FROM invitations WHERE digest = $1 AND expires_unix_s > $2 RETURNING role";
        let values = vec![invitation.as_str().into(), seconds(now)];
        let taken = within.query_one_raw(statement(sql, values)).await;
        let Some(row) = taken.map_err(engine)? else {
            return Ok(Joined::NotInvited);
        };
        let table = "invitations";
        let role = role(&Row { row: &row, table })?;
        let joined = insert(&within, NewUser { role, ..new }, now).await?;
        if matches!(joined, Joined::New(_)) {
            within.commit().await.map_err(engine)?;
        }
        Ok(joined)
    }

    async fn invite(
        &self,
        invitation: &SecretDigest,
        role: Role,
        expires: UnixSeconds,
    ) -> Result<(), Error> {
        invite(&self.db, invitation, role, expires).await
    }

    async fn invite_first(
        &self,
        invitation: &SecretDigest,
        now: UnixSeconds,
        expires: UnixSeconds,
    ) -> Result<bool, Error> {
        let within = begin_alone(&self.db, "users/first").await?;
        let sql = "DELETE FROM invitations WHERE expires_unix_s <= $1";
        change(&within, sql, vec![seconds(now)]).await?;
        for sql in [
            "SELECT id FROM users WHERE role = 'operator' LIMIT 1",
            "SELECT role FROM invitations WHERE role = 'operator' LIMIT 1",
        ] {
            let there = within.query_one_raw(statement(sql, vec![])).await;
            if there.map_err(engine)?.is_some() {
                within.commit().await.map_err(engine)?;
                return Ok(false);
            }
        }
        invite(&within, invitation, Role::Operator, expires).await?;
        within.commit().await.map_err(engine)?;
        Ok(true)
    }

    async fn find(&self, id: &UserId) -> Result<Option<User>, Error> {
        let sql = "SELECT * FROM users WHERE id = $1";
        let row = statement(sql, vec![id.as_str().into()]);
        let row = self.db.query_one_raw(row).await.map_err(engine)?;
        row.map(|row| user(&row)).transpose()
    }

    async fn find_by_email(&self, email: &str) -> Result<Option<(User, String)>, Error> {
        let sql = "SELECT * FROM users WHERE email = $1";
        let row = statement(sql, vec![email.into()]);
        let row = self.db.query_one_raw(row).await.map_err(engine)?;
        row.map(|row| Ok((user(&row)?, users(&row).text("password")?)))
            .transpose()
    }

    async fn list(&self, after: Option<&UserId>, limit: u32) -> Result<Vec<User>, Error> {
        let sql = "SELECT * FROM users WHERE id > $1 ORDER BY id LIMIT $2";
        let after = after.map_or("", UserId::as_str);
        let rows = statement(sql, vec![after.into(), limit.into()]);
        let rows = self.db.query_all_raw(rows).await.map_err(engine)?;
        rows.iter().map(user).collect()
    }

    async fn set_role(&self, id: &UserId, role: Role) -> Result<Option<User>, Error> {
        let sql = "UPDATE users SET role = $2 WHERE id = $1 RETURNING *";
        let values = vec![id.as_str().into(), role.as_str().into()];
        let row = self.db.query_one_raw(statement(sql, values)).await;
        row.map_err(engine)?.map(|row| user(&row)).transpose()
    }

    async fn set_password(&self, id: &UserId, password: &str) -> Result<bool, Error> {
        let within = begin(&self.db).await?;
        let sql = "UPDATE users SET password = $2 WHERE id = $1";
        let values = vec![id.as_str().into(), password.into()];
        let changed = change(&within, sql, values).await?;
        let sql = "DELETE FROM logins WHERE user_id = $1";
        change(&within, sql, vec![id.as_str().into()]).await?;
        within.commit().await.map_err(engine)?;
        Ok(changed == 1)
    }

    async fn remove(&self, id: &UserId) -> Result<bool, Error> {
        let within = begin(&self.db).await?;
        let mut removed = 0;
        // What is granted, and limited, by account has no user behind it where others vouch for them.
        for sql in [
            "DELETE FROM grants WHERE account = $1",
            "DELETE FROM stream_limits WHERE account = $1",
            "DELETE FROM users WHERE id = $1",
        ] {
            removed = change(&within, sql, vec![id.as_str().into()]).await?;
        }
        if removed == 1 {
            within.commit().await.map_err(engine)?;
        }
        Ok(removed == 1)
    }
}

async fn insert(
    db: &impl ConnectionTrait,
    new: NewUser,
    now: UnixSeconds,
) -> Result<Joined, Error> {
    let name = words(&new.name);
    // A conflict that is an error would end a server's transaction.
    let sql = "INSERT INTO users (id, email, name, role, password, created_unix_s) \
               VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
    let values = vec![
        new.id.as_str().into(),
        new.email.as_str().into(),
        name.as_str().into(),
        new.role.as_str().into(),
        new.password.into(),
        seconds(now),
    ];
    if change(db, sql, values).await? == 0 {
        // Ids are drawn: it is the address that is taken.
        return Ok(Joined::EmailTaken);
    }
    Ok(Joined::New(User {
        id: new.id,
        email: new.email,
        name,
        role: new.role,
        created: now,
    }))
}

async fn invite(
    db: &impl ConnectionTrait,
    invitation: &SecretDigest,
    role: Role,
    expires: UnixSeconds,
) -> Result<(), Error> {
    let sql = "INSERT INTO invitations (digest, role, expires_unix_s) VALUES ($1, $2, $3)";
    let values = vec![
        invitation.as_str().into(),
        role.as_str().into(),
        seconds(expires),
    ];
    change(db, sql, values).await.map(drop)
}

const fn users(row: &QueryResult) -> Row<'_> {
    let table = "users";
    Row { row, table }
}

fn role(row: &Row<'_>) -> Result<Role, Error> {
    row.parsed("role", |word| Role::parse(word).ok_or(()))
}

fn user(row: &QueryResult) -> Result<User, Error> {
    let row = users(row);
    Ok(User {
        id: row.parsed("id", UserId::parse)?,
        email: row.text("email")?,
        name: row.text("name")?,
        role: role(&row)?,
        created: row.instant("created_unix_s")?,
    })
}
