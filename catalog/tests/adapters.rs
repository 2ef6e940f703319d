//! The embedded adapters keep every promise, in memory and in a file that two processes share.

use std::sync::Arc;

use contracts::time::UnixSeconds;
use runtime::clock::Fixed;

fn clock() -> Arc<Fixed> {
    Arc::new(Fixed::at(UnixSeconds(1_800_000_000)))
}

#[tokio::test]
async fn the_embedded_catalogue_keeps_its_promises_in_memory() {
    let catalog = catalog::open("sqlite::memory:", clock()).await.unwrap();
    catalog::videos::conformance::all(catalog.videos.as_ref()).await;
    catalog::sessions::conformance::all(catalog.sessions.as_ref()).await;
    catalog::keys::conformance::all(catalog.keys.as_ref()).await;
}

#[tokio::test]
async fn the_embedded_catalogue_keeps_its_promises_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("sqlite://{}", folder.path().join("catalog.db").display());
    let catalog = catalog::open(&address, clock()).await.unwrap();
    catalog::videos::conformance::all(catalog.videos.as_ref()).await;
    catalog::sessions::conformance::all(catalog.sessions.as_ref()).await;
    catalog::keys::conformance::all(catalog.keys.as_ref()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_may_open_one_new_file_at_once_and_see_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("sqlite://{}", folder.path().join("catalog.db").display());
    let open = || {
        let address = address.clone();
        tokio::spawn(async move { catalog::open(&address, clock()).await })
    };
    let opened = [open(), open(), open(), open()];
    let mut catalogs = Vec::new();
    for opening in opened {
        catalogs.push(opening.await.unwrap().unwrap());
    }
    let id = contracts::id::VideoId::parse("shared").unwrap();
    let new = catalog::videos::NewVideo {
        id: id.clone(),
        title: "x".into(),
        privacy: Default::default(),
        protected: false,
    };
    catalogs[0].videos.create(new).await.unwrap();
    assert!(catalogs[3].videos.find(&id).await.unwrap().is_some());
}

#[tokio::test]
async fn an_address_without_an_engine_is_refused_with_the_rule() {
    for address in [
        "",
        "sqlite://relative.db",
        "sqlite:///a?mode=memory",
        "postgres://x",
        "/var/lib/x",
    ] {
        let error = catalog::open(address, clock()).await.err().unwrap();
        assert!(error.to_string().contains("sqlite:///"), "{error}");
    }
}

#[tokio::test]
async fn a_catalogue_from_before_films_were_protected_is_brought_up_to_date() {
    use sea_orm::ConnectionTrait as _;
    let folder = tempfile::tempdir().unwrap();
    let address = format!("sqlite://{}", folder.path().join("catalog.db").display());
    let id = contracts::id::VideoId::parse("old").unwrap();
    {
        let catalog = catalog::open(&address, clock()).await.unwrap();
        let new = catalog::videos::NewVideo {
            id: id.clone(),
            title: "x".into(),
            privacy: Default::default(),
            protected: true,
        };
        catalog.videos.create(new).await.unwrap();
        let within = catalog.begin().await.unwrap();
        for step in [
            // A connection from before the last migration sees the column once it was asked for.
            "SELECT protected FROM videos",
            "ALTER TABLE videos DROP COLUMN protected",
            "DELETE FROM seaql_migrations WHERE version = 'protected'",
        ] {
            within.execute_unprepared(step).await.unwrap();
        }
        within.commit().await.unwrap();
        catalog.connection().clone().close().await.unwrap();
    }
    let catalog = catalog::open(&address, clock()).await.unwrap();
    assert!(!catalog.videos.find(&id).await.unwrap().unwrap().protected);
}

#[tokio::test]
async fn a_change_within_a_transaction_is_undone_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("sqlite://{}", folder.path().join("catalog.db").display());
    let catalog = catalog::open(&address, clock()).await.unwrap();
    let id = contracts::id::VideoId::parse("undone").unwrap();
    let new = catalog::videos::NewVideo {
        id: id.clone(),
        title: "x".into(),
        privacy: Default::default(),
        protected: false,
    };
    catalog.videos.create(new).await.unwrap();
    for kept in [false, true] {
        let within = catalog.begin().await.unwrap();
        let event = catalog::videos::Event::Uploaded;
        catalog::videos::embedded::advance(&within, &id, event, UnixSeconds(1))
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
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_two_processes_wait_for_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("sqlite://{}", folder.path().join("catalog.db").display());
    let one = catalog::open(&address, clock()).await.unwrap();
    let two = catalog::open(&address, clock()).await.unwrap();
    let mut writers = Vec::new();
    for number in 0..40_u8 {
        let catalog = if number % 2 == 0 {
            one.clone()
        } else {
            two.clone()
        };
        writers.push(tokio::spawn(async move {
            let id = contracts::id::VideoId::from_random([number; 16]);
            let within = catalog.begin().await?;
            let new = catalog::videos::NewVideo {
                id: id.clone(),
                title: "x".into(),
                privacy: Default::default(),
                protected: false,
            };
            catalog::videos::embedded::create(&within, new, UnixSeconds(1)).await?;
            let event = catalog::videos::Event::Uploaded;
            catalog::videos::embedded::advance(&within, &id, event, UnixSeconds(1)).await?;
            within.commit().await.unwrap();
            catalog.videos.progress(&id, 7).await?;
            catalog.videos.find(&id).await
        }));
    }
    for writer in writers {
        assert_eq!(writer.await.unwrap().unwrap().unwrap().progress, 7);
    }
}
