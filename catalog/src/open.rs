//! From an address to a catalogue: the one place that knows which engines there are.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use runtime::clock::Clock;
use sea_orm::{
    ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DatabaseTransaction,
    SqliteTransactionMode, TransactionOptions, TransactionTrait as _,
};
use sea_orm_migration::MigratorTrait;

use crate::error::Error;
use crate::keys::{self, Keys};
use crate::migrations::Migrations;
use crate::sessions::{self, Sessions};
use crate::videos::{self, Videos};

/// How long a writer waits for another process's transaction.
const BUSY: Duration = Duration::from_secs(10);
/// Connections of one process. Writers queue in `SQLite` anyway; readers do not.
const CONNECTIONS: u32 = 8;

/// An open catalogue.
#[derive(Clone)]
pub struct Catalog {
    /// Films.
    pub videos: Arc<dyn Videos>,
    /// Playback sessions.
    pub sessions: Arc<dyn Sessions>,
    /// Sealed content keys.
    pub keys: Arc<dyn Keys>,
    db: DatabaseConnection,
    lock: Option<PathBuf>,
}

/// Opens the catalogue at `sqlite:///absolute/path` or, for tests, `sqlite::memory:`, and brings
/// its tables up to date. Several processes may open the same file at once.
///
/// # Errors
/// [`Error::Address`] for another address, [`Error::Engine`] when the file cannot be used.
pub async fn open(address: &str, clock: Arc<dyn Clock>) -> Result<Catalog, Error> {
    let file = file_of(address)?;
    let lock = file.as_ref().map(|path| path.with_extension("lock"));
    // Also over the first connection: a new file is turned to write-ahead logging by one process.
    let held = lock_file(lock.clone()).await?;
    let db = connect(file).await?;
    let catalog = Catalog {
        videos: Arc::new(videos::embedded::Embedded::new(
            db.clone(),
            Arc::clone(&clock),
        )),
        sessions: Arc::new(sessions::embedded::Embedded::new(db.clone())),
        keys: Arc::new(keys::embedded::Embedded::new(db.clone())),
        db,
        lock,
    };
    Migrations::up(&catalog.db, None).await.map_err(engine)?;
    drop(held);
    Ok(catalog)
}

/// Whether an address is one that [`open`] takes; touches nothing.
///
/// # Errors
/// [`Error::Address`] when it is not.
pub fn check_address(address: &str) -> Result<(), Error> {
    file_of(address).map(drop)
}

/// The file that an address names; `None` is memory.
fn file_of(address: &str) -> Result<Option<PathBuf>, Error> {
    if address == "sqlite::memory:" {
        return Ok(None);
    }
    match address.strip_prefix("sqlite://") {
        // The driver would read options after `?` and decode `%`.
        Some(path) if path.starts_with('/') && !path.contains(['?', '%', '#']) => {
            Ok(Some(PathBuf::from(path)))
        }
        _ => Err(Error::Address {
            address: address.to_owned(),
            rule: "it must be sqlite:///absolute/path, without ? % or #",
        }),
    }
}

async fn connect(file: Option<PathBuf>) -> Result<DatabaseConnection, Error> {
    let mut options = ConnectOptions::new(match &file {
        Some(path) => format!("sqlite://{}?mode=rwc", path.display()),
        None => "sqlite::memory:".to_owned(),
    });
    options.sqlx_logging(false);
    // Every connection to memory is a database of its own, hence one that never ends.
    if file.is_some() {
        options.max_connections(CONNECTIONS);
    } else {
        options.max_connections(1).min_connections(1);
        options.idle_timeout(None::<Duration>);
        options.max_lifetime(None::<Duration>);
    }
    options.map_sqlx_sqlite_opts(|sqlite| {
        sqlite
            .busy_timeout(BUSY)
            .foreign_keys(true)
            .pragma("journal_mode", "WAL")
            .pragma("synchronous", "FULL")
    });
    Database::connect(options).await.map_err(engine)
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
        let outcome = M::up(&self.db, None).await.map_err(engine);
        drop(held);
        outcome
    }

    /// Begins a transaction that is going to write. It has the right to write from its first
    /// statement, so that none of its statements fails because another writer came between. In
    /// memory there is one connection: use nothing but the transaction until it ends.
    ///
    /// # Errors
    /// [`Error::Engine`] when another writer keeps it waiting for too long.
    pub async fn begin(&self) -> Result<DatabaseTransaction, Error> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        self.db.begin_with_options(options).await.map_err(engine)
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
