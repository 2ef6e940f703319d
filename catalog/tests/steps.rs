//! Steps that drop and make anew what other connections of a file still know.

use std::sync::Arc;

use catalog::Step;
use runtime::clock::System;
use sea_orm::{DynIden, sea_query::IntoIden as _};
use sea_orm_migration::{MigrationTrait, MigratorTrait};

struct First;
struct Second;

const FIRST: [&str; 2] = [
    "CREATE TABLE things (name TEXT PRIMARY KEY)",
    "CREATE INDEX things_named ON things (name)",
];
const AGAIN: [&str; 5] = [
    "DROP INDEX things_named",
    "ALTER TABLE things RENAME TO things_before",
    "CREATE TABLE things (name TEXT PRIMARY KEY, number BIGINT)",
    "DROP TABLE things_before",
    "CREATE INDEX things_named ON things (name)",
];

impl MigratorTrait for First {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(Step::new("first", &FIRST))]
    }

    fn migration_table_name() -> DynIden {
        "things_migrations".into_iden()
    }
}

impl MigratorTrait for Second {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(Step::new("first", &FIRST)),
            Box::new(Step::new("again", &AGAIN)),
        ]
    }

    fn migration_table_name() -> DynIden {
        "things_migrations".into_iden()
    }
}

#[tokio::test]
async fn a_step_makes_anew_what_other_connections_still_know() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("sqlite://{}", folder.path().join("catalog.db").display());
    let catalog = catalog::open(&address, Arc::new(System)).await.unwrap();
    catalog.migrate::<First>().await.unwrap();
    // Several at once, so that there are several connections, and each has seen the index.
    let looks = (0..16).map(|_| catalog.ping());
    for look in futures_util::future::join_all(looks).await {
        look.unwrap();
    }
    catalog.migrate::<Second>().await.unwrap();
}
