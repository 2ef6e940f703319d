//! The catalogue's tables, as they grew.

#![expect(
    elided_lifetimes_in_paths,
    reason = "the trait's signature hides the lifetime, and so must ours"
)]

use async_trait::async_trait;
use sea_orm::sea_query::{ColumnDef, Index, Table};
use sea_orm::{DbErr, DeriveIden, DeriveMigrationName};
use sea_orm_migration::{MigrationName, MigrationTrait, MigratorTrait, SchemaManager};

/// All migrations, oldest first.
pub(crate) struct Migrations;

impl MigratorTrait for Migrations {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(First), Box::new(SealedKeys), Box::new(Protected)]
    }
}

#[derive(DeriveMigrationName)]
struct First;

struct SealedKeys;

/// The derived name is the file's, and it is taken.
impl MigrationName for SealedKeys {
    fn name(&self) -> &str {
        "sealed_keys"
    }
}

#[derive(DeriveIden)]
enum Videos {
    Table,
    Id,
    Title,
    Privacy,
    Protected,
    State,
    Progress,
    Failure,
    DurationMs,
    CreatedUnixS,
    UpdatedUnixS,
}

#[derive(DeriveIden)]
enum Sessions {
    Table,
    Id,
    Video,
    StartedUnixS,
    ExpiresUnixS,
    LastBeatUnixS,
    StoppedUnixS,
    PositionMs,
    IdempotencyKey,
    RequestDigest,
}

#[derive(DeriveIden)]
enum ContentKeys {
    Table,
    Video,
    Sealed,
    CreatedUnixS,
}

#[async_trait]
impl MigrationTrait for First {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table(Videos::Table)
                    .col(ColumnDef::new(Videos::Id).string().not_null().primary_key())
                    .col(ColumnDef::new(Videos::Title).string().not_null())
                    .col(ColumnDef::new(Videos::Privacy).string().not_null())
                    .col(ColumnDef::new(Videos::State).string().not_null())
                    .col(ColumnDef::new(Videos::Progress).integer().not_null())
                    .col(ColumnDef::new(Videos::Failure).string())
                    .col(ColumnDef::new(Videos::DurationMs).big_integer())
                    .col(
                        ColumnDef::new(Videos::CreatedUnixS)
                            .big_integer()
                            .not_null(),
                    )
                    .col(
                        ColumnDef::new(Videos::UpdatedUnixS)
                            .big_integer()
                            .not_null(),
                    )
                    .to_owned(),
            )
            .await?;
        let listed = Index::create()
            .name("videos_listed")
            .table(Videos::Table)
            .col(Videos::State)
            .col(Videos::Privacy)
            .col(Videos::CreatedUnixS)
            .to_owned();
        manager.create_index(listed).await?;
        manager
            .create_table(
                Table::create()
                    .table(Sessions::Table)
                    .col(
                        ColumnDef::new(Sessions::Id)
                            .string()
                            .not_null()
                            .primary_key(),
                    )
                    .col(ColumnDef::new(Sessions::Video).string().not_null())
                    .col(
                        ColumnDef::new(Sessions::StartedUnixS)
                            .big_integer()
                            .not_null(),
                    )
                    .col(
                        ColumnDef::new(Sessions::ExpiresUnixS)
                            .big_integer()
                            .not_null(),
                    )
                    .col(
                        ColumnDef::new(Sessions::LastBeatUnixS)
                            .big_integer()
                            .not_null(),
                    )
                    .col(ColumnDef::new(Sessions::StoppedUnixS).big_integer())
                    .col(ColumnDef::new(Sessions::PositionMs).big_integer())
                    .col(
                        ColumnDef::new(Sessions::IdempotencyKey)
                            .string()
                            .unique_key(),
                    )
                    .col(ColumnDef::new(Sessions::RequestDigest).string())
                    .to_owned(),
            )
            .await?;
        let expiring = Index::create()
            .name("sessions_expiring")
            .table(Sessions::Table)
            .col(Sessions::ExpiresUnixS)
            .to_owned();
        manager.create_index(expiring).await
    }
}

#[async_trait]
impl MigrationTrait for SealedKeys {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let video = ColumnDef::new(ContentKeys::Video)
            .string()
            .not_null()
            .primary_key()
            .to_owned();
        let table = Table::create()
            .table(ContentKeys::Table)
            .col(video)
            .col(ColumnDef::new(ContentKeys::Sealed).blob().not_null())
            .col(
                ColumnDef::new(ContentKeys::CreatedUnixS)
                    .big_integer()
                    .not_null(),
            )
            .to_owned();
        manager.create_table(table).await
    }
}

/// Films learn whether they are protected; those that were there are not.
struct Protected;

impl MigrationName for Protected {
    // The derived name is the file's, and the first migration has it.
    fn name(&self) -> &'static str {
        "protected"
    }
}

#[async_trait]
impl MigrationTrait for Protected {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let protected = ColumnDef::new(Videos::Protected)
            .boolean()
            .not_null()
            .default(false)
            .to_owned();
        let altered = Table::alter()
            .table(Videos::Table)
            .add_column(protected)
            .to_owned();
        manager.alter_table(altered).await
    }
}
