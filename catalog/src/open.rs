//! From an address to a catalogue: the one place that knows which engines there are.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use runtime::clock::Clock;
use sea_orm::{
    ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DatabaseTransaction,
    DbBackend, DbErr, SqliteTransactionMode, TransactionOptions, TransactionTrait as _,
};
use sea_orm_migration::MigratorTrait;
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

use crate::address::shown;
use crate::api_keys::{self, ApiKeys};
use crate::channels::{self, Channels};
use crate::encodings::{self, Encodings};
use crate::entitlements::{self, Entitlements};
use crate::error::Error;
use crate::events::{self, Events};
use crate::feed::{self, Feed};
use crate::guesses::{self, Guesses};
use crate::keys::{self, Keys};
use crate::logins::{self, Logins};
use crate::members::{self, Members};
use crate::migrations::Migrations;
use crate::nodes::{self, Nodes};
use crate::plays::{self, Plays};
use crate::rules::{self, FilmRules};
use crate::sessions::{self, Sessions};
use crate::sql::statement;
use crate::users::{self, Users};
use crate::videos::{self, Videos};

/// How long a writer waits for another process's transaction, and for a free connection.
const BUSY: Duration = Duration::from_secs(10);
/// How long a server that was not reached is asked once more why.
const LOOK: Duration = Duration::from_secs(3);
/// Connections of one process. Writers queue in `SQLite` anyway; readers do not.
const CONNECTIONS: u32 = 8;
/// The same for a server, where a writer waits for those only who change the same.
const SERVER_CONNECTIONS: u32 = 16;
/// What a server is told of each connection: how long it waits for a lock, and for the next
/// statement of a transaction whose process may be gone; and that a statement sees what was
/// committed before it, which the adapters count on.
const SERVER_LIMITS: [(&str, &str); 3] = [
    ("default_transaction_isolation", "read committed"),
    ("lock_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "120s"),
];
/// What an address of a server may say after `?`. Others the driver would write to the log.
const SERVER_OPTIONS: [&str; 9] = [
    "host",
    "port",
    "user",
    "dbname",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "application_name",
];
/// The lock under which instances bring a server's tables up to date: any number that is always it.
const MIGRATING: &str = "SELECT pg_advisory_xact_lock(7883944500838621029)";

/// An open catalogue.
#[derive(Clone)]
pub struct Catalog {
    /// Films.
    pub videos: Arc<dyn Videos>,
    /// Playback sessions.
    pub sessions: Arc<dyn Sessions>,
    /// Sealed content keys.
    pub keys: Arc<dyn Keys>,
    /// Accounts.
    pub users: Arc<dyn Users>,
    /// Who is logged in.
    pub logins: Arc<dyn Logins>,
    /// What was tried in vain.
    pub guesses: Arc<dyn Guesses>,
    /// The keys of backends.
    pub api_keys: Arc<dyn ApiKeys>,
    /// Channels.
    pub channels: Arc<dyn Channels>,
    /// Orders to edges and shields.
    pub feed: Arc<dyn Feed>,
    /// Who follows them.
    pub nodes: Arc<dyn Nodes>,
    /// Nodes that have enrolled.
    pub members: Arc<dyn Members>,
    /// What published films consist of.
    pub encodings: Arc<dyn Encodings>,
    /// What became of films.
    pub events: Arc<dyn Events>,
    /// What was granted to whom.
    pub entitlements: Arc<dyn Entitlements>,
    /// The rules of single films.
    pub rules: Arc<dyn FilmRules>,
    /// What was played.
    pub plays: Arc<dyn Plays>,
    db: DatabaseConnection,
    lock: Option<PathBuf>,
}

/// Opens the catalogue at `sqlite:///absolute/path`, at `postgres://user@host/database` or, for
/// tests, at `sqlite::memory:`, and brings its tables up to date. Several processes may open the
/// same at once.
///
/// # Errors
/// [`Error::Address`] for another address, [`Error::Opening`] when the file or the server cannot be
/// used.
pub async fn open(address: impl AsRef<str>, clock: Arc<dyn Clock>) -> Result<Catalog, Error> {
    let opened = opened(address.as_ref(), clock).await;
    opened.map_err(|error| match error {
        Error::Engine(source) => Error::Opening {
            address: shown(address.as_ref()),
            source,
        },
        other => other,
    })
}

async fn opened(address: &str, clock: Arc<dyn Clock>) -> Result<Catalog, Error> {
    let to = Engine::parse(address)?;
    let lock = match &to {
        Engine::File(path) => Some(path.with_extension("lock")),
        Engine::Memory | Engine::Server(_) => None,
    };
    // Also over the first connection: a new file is turned to write-ahead logging by one process.
    let held = lock_file(lock.clone()).await?;
    let db = connect(to).await?;
    let catalog = Catalog {
        videos: Arc::new(videos::sql::Sql::new(db.clone(), Arc::clone(&clock))),
        sessions: Arc::new(sessions::sql::Sql::new(db.clone())),
        keys: Arc::new(keys::sql::Sql::new(db.clone())),
        users: Arc::new(users::sql::Sql::new(db.clone())),
        logins: Arc::new(logins::sql::Sql::new(db.clone())),
        guesses: Arc::new(guesses::sql::Sql::new(db.clone())),
        api_keys: Arc::new(api_keys::sql::Sql::new(db.clone())),
        channels: Arc::new(channels::sql::Sql::new(db.clone())),
        feed: Arc::new(feed::sql::Sql::new(db.clone())),
        nodes: Arc::new(nodes::sql::Sql::new(db.clone())),
        members: Arc::new(members::sql::Sql::new(db.clone())),
        encodings: Arc::new(encodings::sql::Sql::new(db.clone())),
        events: Arc::new(events::sql::Sql::new(db.clone())),
        entitlements: Arc::new(entitlements::sql::Sql::new(db.clone())),
        rules: Arc::new(rules::sql::Sql::new(db.clone())),
        plays: Arc::new(plays::sql::Sql::new(db.clone())),
        db,
        lock,
    };
    catalog.bring_up_to_date::<Migrations>().await?;
    drop(held);
    Ok(catalog)
}

/// Whether an address is one that [`open`] takes; touches nothing.
///
/// # Errors
/// [`Error::Address`] when it is not.
pub fn check_address(address: impl AsRef<str>) -> Result<(), Error> {
    Engine::parse(address.as_ref()).map(drop)
}

/// Says what would keep [`open`] from using the file that an address names; servers are not asked.
///
/// # Errors
/// [`Error::Address`], or [`Error::Folder`].
pub fn inspect(address: impl AsRef<str>) -> Result<(), Error> {
    let Engine::File(path) = Engine::parse(address.as_ref())? else {
        return Ok(());
    };
    // The engine makes files beside it, and no folder.
    let folder = path.parent().unwrap_or(&path);
    if !folder.exists() {
        return Err(Error::Folder(format!("{}: is not there", folder.display())));
    }
    if path.is_dir() {
        return Err(Error::Folder(format!("{}: is a folder", path.display())));
    }
    runtime::folder::look(folder).map_err(Error::Folder)
}

/// What an address names.
enum Engine {
    Memory,
    File(PathBuf),
    Server(Box<PgConnectOptions>),
}

impl Engine {
    fn parse(address: &str) -> Result<Self, Error> {
        let refused = |rule| Error::Address {
            address: shown(address),
            rule,
        };
        if address == "sqlite::memory:" {
            return Ok(Self::Memory);
        }
        if address.starts_with("postgres://") || address.starts_with("postgresql://") {
            return server(address).map_err(refused);
        }
        match address.strip_prefix("sqlite://") {
            // The driver would read options after `?` and decode `%`.
            Some(path) if path.starts_with('/') && !path.contains(['?', '%', '#']) => {
                Ok(Self::File(PathBuf::from(path)))
            }
            _ => Err(refused(
                "it must be sqlite:///absolute/path, without ? % or #, or postgres://user@host/database",
            )),
        }
    }
}

fn server(address: &str) -> Result<Engine, &'static str> {
    let options = address.split_once('?').map_or("", |(_, options)| options);
    let known = |option: &str| {
        let name = option.split('=').next().unwrap_or_default();
        SERVER_OPTIONS.contains(&name)
    };
    if !options.is_empty() && !options.split('&').all(known) {
        return Err(
            "of a server's options host, port, user, dbname, application_name, sslmode, sslrootcert, sslcert and sslkey may be given; a password stands before the @",
        );
    }
    // What the driver says of a bad address may quote it.
    let parsed: PgConnectOptions = address
        .parse()
        .map_err(|_| "it must be postgres://user:password@host:port/database?options")?;
    let limited = parsed.options(SERVER_LIMITS).disable_statement_logging();
    Ok(Engine::Server(Box::new(limited)))
}

async fn connect(to: Engine) -> Result<DatabaseConnection, Error> {
    let mut options = ConnectOptions::new(match &to {
        Engine::File(path) => format!("sqlite://{}?mode=rwc", path.display()),
        Engine::Memory => "sqlite::memory:".to_owned(),
        // The options that stand for it follow: what is traced of this one has no password.
        Engine::Server(_) => "postgres://localhost".to_owned(),
    });
    options.sqlx_logging(false);
    let mut server_of = None;
    match to {
        Engine::File(_) => {
            options.max_connections(CONNECTIONS);
        }
        // Every connection to memory is a database of its own, hence one that never ends.
        Engine::Memory => {
            options.max_connections(1).min_connections(1);
            options.idle_timeout(None::<Duration>);
            options.max_lifetime(None::<Duration>);
        }
        Engine::Server(server) => {
            options.max_connections(SERVER_CONNECTIONS);
            options.acquire_timeout(BUSY);
            server_of = Some(server.clone());
            options.map_sqlx_postgres_opts(move |_| (*server).clone());
        }
    }
    options.map_sqlx_sqlite_opts(|sqlite| {
        sqlite
            .busy_timeout(BUSY)
            .foreign_keys(true)
            .pragma("journal_mode", "WAL")
            .pragma("synchronous", "FULL")
    });
    match (Database::connect(options).await, server_of) {
        (Ok(db), _) => Ok(db),
        (Err(error), None) => Err(engine(error)),
        (Err(gave_up), Some(server)) => Err(cause(&server, gave_up).await),
    }
}

/// Why a server is not reached: of its attempts the pool says only that it gave up.
async fn cause(server: &PgConnectOptions, gave_up: DbErr) -> Error {
    match tokio::time::timeout(LOOK, server.connect()).await {
        Ok(Err(error)) => engine(error),
        Ok(Ok(_)) | Err(_) => engine(gave_up),
    }
}

impl Catalog {
    /// The connection, for a room that keeps tables of its own beside these.
    #[must_use]
    pub const fn connection(&self) -> &DatabaseConnection {
        &self.db
    }

    /// Brings a set of tables up to date; processes that do so at once wait for each other.
    ///
    /// # Errors
    /// [`Error::Engine`] when the tables cannot be made.
    pub async fn migrate<M: MigratorTrait>(&self) -> Result<(), Error> {
        let held = lock_file(self.lock.clone()).await?;
        let outcome = self.bring_up_to_date::<M>().await;
        drop(held);
        outcome
    }

    /// All steps are one transaction: no connection judges by what another has changed meanwhile. On a server it is
    /// under a lock that goes with it; the lock of a file is the caller's.
    async fn bring_up_to_date<M: MigratorTrait>(&self) -> Result<(), Error> {
        let within = self.begin().await?;
        if is_server(&self.db) {
            for statement in ["SET LOCAL lock_timeout = 0", MIGRATING] {
                within.execute_unprepared(statement).await.map_err(engine)?;
            }
        }
        M::up(&within, None).await.map_err(engine)?;
        within.commit().await.map_err(engine)
    }

    /// Begins a transaction that is going to write.
    ///
    /// In `SQLite` it is the only writer from its first statement, so that none of its statements
    /// fails because another came between. On a server others write meanwhile, and each statement
    /// sees what was committed before it: write with the condition in the statement, or use
    /// [`begin_alone`](Self::begin_alone). In memory there is one connection: use nothing but the
    /// transaction until it ends.
    ///
    /// # Errors
    /// [`Error::Engine`] when another writer keeps it waiting for too long.
    pub async fn begin(&self) -> Result<DatabaseTransaction, Error> {
        begin(&self.db).await
    }

    /// As [`begin`](Self::begin), and alone among all transactions that are begun for the same
    /// `name`, on every instance: for what reads first and writes by what it read. Names are such
    /// as `texts/FILM`.
    ///
    /// # Errors
    /// [`Error::Engine`] when another keeps it waiting for too long.
    pub async fn begin_alone(&self, name: &str) -> Result<DatabaseTransaction, Error> {
        begin_alone(&self.db, name).await
    }

    /// Whether the engine answers.
    ///
    /// # Errors
    /// [`Error::Engine`] when it does not.
    pub async fn ping(&self) -> Result<(), Error> {
        self.db
            .execute_unprepared("SELECT 1")
            .await
            .map(drop)
            .map_err(engine)
    }
}

/// [`Catalog::begin`], for the adapters.
pub(crate) async fn begin(db: &DatabaseConnection) -> Result<DatabaseTransaction, Error> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    db.begin_with_options(options).await.map_err(engine)
}

/// [`Catalog::begin_alone`], for the adapters.
pub(crate) async fn begin_alone(
    db: &DatabaseConnection,
    name: &str,
) -> Result<DatabaseTransaction, Error> {
    let within = begin(db).await?;
    if is_server(db) {
        let lock = statement(
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
            vec![name.into()],
        );
        within.execute_raw(lock).await.map_err(engine)?;
    }
    Ok(within)
}

fn is_server(db: &DatabaseConnection) -> bool {
    db.get_database_backend() == DbBackend::Postgres
}

/// Takes the lock beside the file; it goes with the handle. Waiting blocks, hence the thread.
async fn lock_file(path: Option<PathBuf>) -> Result<Option<File>, Error> {
    let Some(path) = path else { return Ok(None) };
    let locked = tokio::task::spawn_blocking(move || {
        let file = File::create(path)?;
        file.lock()?;
        Ok::<_, std::io::Error>(file)
    });
    locked.await.map_err(engine)?.map(Some).map_err(engine)
}

/// An engine's own error, as the catalogue's.
pub(crate) fn engine(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Engine(error.into())
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use runtime::clock::System;

    use super::*;

    #[tokio::test]
    async fn what_does_not_open_is_named_with_the_cause() {
        let address = "sqlite:///nowhere/at/all/catalog.db";
        let error = open(address, Arc::new(System)).await.err().unwrap();
        let said = error.to_string();
        assert_eq!(said, format!("the catalogue at {address} does not open"));
        let cause = error.source().unwrap().to_string();
        assert!(cause.contains("No such file"), "{cause}");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_refuses_and_keeps_its_password() {
        let Ok(Engine::Server(server)) = server("postgres://me:s3cret@127.0.0.1:1/films") else {
            unreachable!("it is a server's address");
        };
        let gave_up = DbErr::Custom("gave up".to_owned());
        let cause = cause(&server, gave_up).await;
        let cause = cause.source().unwrap().to_string();
        assert!(cause.contains("refused"), "{cause}");
        assert!(!cause.contains("s3cret"), "{cause}");
    }
}
