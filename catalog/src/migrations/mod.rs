//! The catalogue's tables, as they grew: a file a domain.
//!
//! Steps are noted by their names in `seaql_migrations`: they are only ever added at the end.

mod channels;
mod encodings;
mod entitlements;
mod events;
mod feed;
mod keys;
mod members;
mod nodes;
mod people;
mod plays;
mod sessions;
mod step;
mod videos;

use sea_orm_migration::{MigrationTrait, MigratorTrait};

pub use step::Step;

/// All migrations, oldest first.
pub(crate) struct Migrations;

impl MigratorTrait for Migrations {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        let steps = [
            ("migrations", &videos::TABLE[..]),
            ("sessions", &sessions::TABLE),
            ("sealed_keys", &keys::TABLE),
            ("protected", &videos::PROTECTED),
            ("people", &people::TABLES),
            ("channels", &channels::TABLES),
            ("leases", &sessions::LEASES),
            ("feed", &feed::TABLES),
            ("nodes", &nodes::TABLE),
            ("entitlements", &entitlements::TABLES),
            ("encodings", &encodings::TABLES),
            ("terms", &sessions::TERMS),
            ("erased", &videos::ERASED),
            ("plays", &plays::TABLES),
            ("members", &members::TABLES),
            ("sessions_of_films", &sessions::OF_FILMS),
            ("key_rotation", &keys::ROTATION),
            ("guesses", &people::GUESSES),
            ("errors", &plays::ERRORS),
            ("stills", &encodings::STILLS),
            ("events", &events::TABLES),
        ];
        let boxed = |(name, statements)| Box::new(Step::new(name, statements)) as _;
        steps.into_iter().map(boxed).collect()
    }
}
