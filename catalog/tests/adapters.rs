//! The adapters keep every promise: in memory, in a file that processes share, on a server.

#![expect(
    clippy::unwrap_used,
    reason = "a test that meets something else than it wants must fail"
)]

use std::sync::Arc;

use catalog::Catalog;
use catalog::videos::{Event, NewVideo, sql};
use contracts::id::VideoId;
use contracts::time::UnixSeconds;
use runtime::clock::Fixed;

fn clock() -> Arc<Fixed> {
    Arc::new(Fixed::at(UnixSeconds(1_800_000_000)))
}

async fn open(address: &str) -> Catalog {
    catalog::open(address, clock()).await.unwrap()
}

fn film(id: VideoId) -> NewVideo {
    NewVideo {
        id,
        title: "x".into(),
        privacy: Default::default(),
        protected: false,
    }
}

/// Runs a test in a new file and, where there is one, in a new database of a server.
async fn on_both(test: impl AsyncFn(&str)) {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite://{}", folder.path().join("catalog.db").display());
    test(&file).await;
    if let Some(address) = test_postgres::database() {
        test(&address).await;
    }
}

async fn promises(catalog: &Catalog) {
    catalog::videos::conformance::all(catalog.videos.as_ref()).await;
    catalog::sessions::conformance::all(Arc::clone(&catalog.sessions)).await;
    catalog::keys::conformance::all(catalog.keys.as_ref()).await;
    catalog::users::conformance::all(Arc::clone(&catalog.users)).await;
    let (logins, users) = (Arc::clone(&catalog.logins), catalog.users.as_ref());
    catalog::logins::conformance::all(logins, users).await;
    catalog::guesses::conformance::all(Arc::clone(&catalog.guesses)).await;
    catalog::api_keys::conformance::all(catalog.api_keys.as_ref()).await;
    let (channels, videos) = (catalog.channels.as_ref(), catalog.videos.as_ref());
    catalog::channels::conformance::all(channels, videos).await;
    let entitlements = catalog.entitlements.as_ref();
    catalog::entitlements::conformance::all(entitlements, videos, channels).await;
    catalog::encodings::conformance::all(catalog.encodings.as_ref()).await;
    catalog::rules::conformance::all(catalog.rules.as_ref()).await;
    catalog::feed::conformance::all(catalog.feed.as_ref()).await;
    catalog::nodes::conformance::all(catalog.nodes.as_ref()).await;
    catalog::members::conformance::all(Arc::clone(&catalog.members)).await;
    let (events, films) = (Arc::clone(&catalog.events), Arc::clone(&catalog.videos));
    catalog::events::conformance::all(events, films, channels).await;
    catalog::plays::conformance::all(Arc::clone(&catalog.plays)).await;
}

#[tokio::test]
async fn the_catalogue_keeps_its_promises_in_memory() {
    promises(&open("sqlite::memory:").await).await;
}

#[tokio::test]
async fn the_catalogue_keeps_its_promises_on_both_engines() {
    on_both(async |address| promises(&open(address).await).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_may_open_one_new_catalogue_at_once_and_see_each_other() {
    on_both(async |address| {
        let open = || {
            let address = address.to_owned();
            tokio::spawn(async move { catalog::open(&address, clock()).await })
        };
        let opened = [open(), open(), open(), open()];
        let mut catalogs = Vec::new();
        for opening in opened {
            catalogs.push(opening.await.unwrap().unwrap());
        }
        let id = VideoId::parse("shared").unwrap();
        catalogs[0].videos.create(film(id.clone())).await.unwrap();
        assert!(catalogs[3].videos.find(&id).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn an_address_without_an_engine_is_refused_with_the_rule() {
    for address in [
        "",
        "sqlite://relative.db",
        "sqlite:///a?mode=memory",
        "mysql://me:s3cret@db/x",
        "/var/lib/x",
    ] {
        let error = catalog::open(address, clock()).await.err().unwrap();
        assert!(error.to_string().contains("sqlite:///"), "{error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
    for address in [
        "postgres://me:s3cret@db/x?password=s3cret",
        "postgres://me@db/x?sslmode=require&passwort=s3cret",
        "postgres://me:s3cret@db:port/x",
        "postgres://me@db/x?sslmode=s3cret",
    ] {
        let error = catalog::open(address, clock()).await.err().unwrap();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}

#[tokio::test]
async fn a_server_s_password_is_neither_in_the_error_nor_in_the_log() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .with_writer(move || writer.clone())
        .finish();
    let quiet = tracing::subscriber::set_default(subscriber);
    let nowhere = "postgres://me:s3cret@localhost/x?host=/nowhere";
    let mut error = &catalog::open(nowhere, clock()).await.err().unwrap() as &dyn std::error::Error;
    loop {
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
        match error.source() {
            Some(source) => error = source,
            None => break,
        }
    }
    if let Some(address) = test_postgres::database() {
        let address = address.replacen("postgres@", "postgres:s3cret@", 1);
        promises(&open(&address).await).await;
    }
    drop(quiet);
    let told = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(told.contains("sqlx"), "nothing was traced: {told}");
    assert!(!told.contains("s3cret"), "{told}");
}

#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_catalogue_from_before_films_were_protected_is_brought_up_to_date() {
    use sea_orm::ConnectionTrait as _;
    on_both(async |address| {
        let id = VideoId::parse("old").unwrap();
        {
            let catalog = open(address).await;
            let new = NewVideo {
                protected: true,
                ..film(id.clone())
            };
            catalog.videos.create(new).await.unwrap();
            let within = catalog.begin().await.unwrap();
            for step in [
                // A connection from before the last migration sees the column once it was asked for.
                "SELECT protected FROM videos",
                "ALTER TABLE videos DROP COLUMN protected",
                // In those days one step made films and sessions.
                "DELETE FROM seaql_migrations WHERE version IN ('protected', 'sessions')",
            ] {
                within.execute_unprepared(step).await.unwrap();
            }
            within.commit().await.unwrap();
            catalog.connection().clone().close().await.unwrap();
        }
        let catalog = open(address).await;
        assert!(!catalog.videos.find(&id).await.unwrap().unwrap().protected);
    })
    .await;
}

#[tokio::test]
async fn a_change_within_a_transaction_is_undone_with_it() {
    on_both(async |address| {
        let catalog = open(address).await;
        let id = VideoId::parse("undone").unwrap();
        catalog.videos.create(film(id.clone())).await.unwrap();
        for kept in [false, true] {
            let within = catalog.begin().await.unwrap();
            sql::advance(&within, &id, Event::Uploaded, UnixSeconds(1))
                .await
                .unwrap();
            if kept {
                within.commit().await.unwrap();
            } else {
                within.rollback().await.unwrap();
            }
            let state = catalog.videos.find(&id).await.unwrap().unwrap().state;
            let expected = if kept { "processing" } else { "uploading" };
            assert_eq!(state.as_str(), expected);
        }
    })
    .await;
}

#[tokio::test]
async fn a_transaction_goes_on_after_it_met_a_film_that_is_there_already() {
    on_both(async |address| {
        let catalog = open(address).await;
        let (old, new) = (
            VideoId::parse("old").unwrap(),
            VideoId::parse("new").unwrap(),
        );
        catalog.videos.create(film(old.clone())).await.unwrap();
        let within = catalog.begin().await.unwrap();
        let refused = sql::create(&within, film(old), UnixSeconds(1)).await;
        assert!(matches!(refused, Err(catalog::Error::Exists { .. })));
        sql::create(&within, film(new.clone()), UnixSeconds(1))
            .await
            .unwrap();
        within.commit().await.unwrap();
        assert!(catalog.videos.find(&new).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_two_processes_wait_for_each_other() {
    on_both(async |address| {
        let (one, two) = (open(address).await, open(address).await);
        let mut writers = Vec::new();
        for number in 0..40_u8 {
            let catalog = if number % 2 == 0 { &one } else { &two }.clone();
            writers.push(tokio::spawn(async move {
                let id = VideoId::from_random([number; 16]);
                let within = catalog.begin().await?;
                sql::create(&within, film(id.clone()), UnixSeconds(1)).await?;
                sql::advance(&within, &id, Event::Uploaded, UnixSeconds(1)).await?;
                within.commit().await.unwrap();
                catalog.videos.progress(&id, 7).await?;
                catalog.videos.find(&id).await
            }));
        }
        for writer in writers {
            assert_eq!(writer.await.unwrap().unwrap().unwrap().progress, 7);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_those_who_move_a_film_on_at_once_each_sees_what_the_one_before_did() {
    on_both(async |address| {
        let (one, two) = (open(address).await, open(address).await);
        let id = VideoId::parse("raced").unwrap();
        one.videos.create(film(id.clone())).await.unwrap();
        let movers = (0..12).map(|number| {
            let catalog = if number % 2 == 0 { &one } else { &two }.clone();
            let id = id.clone();
            tokio::spawn(async move {
                let within = catalog.begin().await.unwrap();
                let moved = sql::advance(&within, &id, Event::Uploaded, UnixSeconds(number)).await;
                within.commit().await.unwrap();
                moved.unwrap().updated
            })
        });
        let mut told = Vec::new();
        for mover in movers.collect::<Vec<_>>() {
            told.push(mover.await.unwrap());
        }
        // One moved it; the others were told of that one's time.
        told.dedup();
        assert_eq!(told.len(), 1, "{told:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_begins_alone_reads_what_stays_true_until_the_end() {
    use sea_orm::ConnectionTrait as _;
    on_both(async |address| {
        let (one, two) = (open(address).await, open(address).await);
        let create = "CREATE TABLE counted (number BIGINT NOT NULL)";
        one.connection().execute_unprepared(create).await.unwrap();
        let counters = (0..24).map(|number| {
            let catalog = if number % 2 == 0 { &one } else { &two }.clone();
            tokio::spawn(async move {
                let within = catalog.begin_alone("counted").await.unwrap();
                let count = "SELECT COUNT(*) AS many FROM counted";
                let backend = within.get_database_backend();
                let count = sea_orm::Statement::from_string(backend, count);
                let row = within.query_one_raw(count).await.unwrap().unwrap();
                let many: i64 = row.try_get("", "many").unwrap();
                let insert = format!("INSERT INTO counted (number) VALUES ({many})");
                within.execute_unprepared(&insert).await.unwrap();
                within.commit().await.unwrap();
                many
            })
        });
        let mut numbers = Vec::new();
        for counter in counters.collect::<Vec<_>>() {
            numbers.push(counter.await.unwrap());
        }
        numbers.sort_unstable();
        assert_eq!(numbers, (0..24).collect::<Vec<_>>());
    })
    .await;
}
