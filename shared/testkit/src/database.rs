//! A PostgreSQL database for one test.

use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use crate::stack::{Stack, block_on_cleanup, dated_name, is_stale, workspace_root};

const PREFIX: &str = "cfxt";
const TEMPLATE_PREFIX: &str = "cfxtemplate";
/// Guards the making of the template: any number will do, as long as all tests use it.
const TEMPLATE_LOCK: i64 = 0x6366_7874;

/// A database with the project's migrations applied, dropped (with whatever still is connected to it) when this is dropped.
///
/// Migrations run once into a template named by their digest; a test's database is a copy of it.
#[derive(Debug)]
pub struct TestDatabase {
    server: PgConnectOptions,
    name: String,
    url: String,
}

impl TestDatabase {
    /// A fresh database with every migration of `migrations/` applied.
    ///
    /// # Errors
    /// When the stack is not running (the message says `make up`) or a migration fails.
    pub async fn create() -> Result<Self> {
        Self::create_from(&workspace_root().join("migrations")).await
    }

    /// A fresh database with no table in it, for tests of the migrations themselves.
    ///
    /// # Errors
    /// When the stack is not running.
    pub async fn create_empty() -> Result<Self> {
        let (server, mut admin) = connect().await?;
        Self::copy_of("template1", server, &mut admin).await
    }

    async fn create_from(folder: &Path) -> Result<Self> {
        let (server, mut admin) = connect().await?;
        let template = make_template(&server, &mut admin, folder).await?;
        Self::copy_of(&template, server, &mut admin).await
    }

    async fn copy_of(template: &str, server: PgConnectOptions, admin: &mut PgConnection) -> Result<Self> {
        remove_stale(admin).await?;
        let name = dated_name(PREFIX);
        execute(admin, format!("CREATE DATABASE {name} TEMPLATE {template}")).await?;
        let url = server.clone().database(&name).to_url_lossy().to_string();
        Ok(Self { server, name, url })
    }

    /// `postgres://…` of this database, as a service's settings take it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The name of the database.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A pool of at most ten connections to it.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn pool(&self) -> Result<PgPool> {
        let options = self.server.clone().database(&self.name);
        PgPoolOptions::new()
            .max_connections(10)
            .connect_with(options)
            .await
            .with_context(|| format!("cannot connect to the test database {}", self.name))
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        block_on_cleanup("test database", async move {
            let mut admin = PgConnection::connect_with(&server).await?;
            execute(&mut admin, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await
        });
    }
}

async fn connect() -> Result<(PgConnectOptions, PgConnection)> {
    let stack = Stack::find()?;
    let server: PgConnectOptions = stack.database_url.parse().context("the database URL for tests cannot be read")?;
    let server = server.database("postgres");
    let admin =
        PgConnection::connect_with(&server).await.context("PostgreSQL for tests does not answer: run `make up`")?;
    Ok((server, admin))
}

/// Names come from this file (a prefix, digits, hexadecimal), never from outside: quoting is not needed.
async fn execute(connection: &mut PgConnection, statement: String) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statement.clone()))
        .execute(connection)
        .await
        .with_context(|| format!("`{statement}` failed"))?;
    Ok(())
}

async fn names(admin: &mut PgConnection, prefix: &str) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar("SELECT datname::text FROM pg_database WHERE starts_with(datname::text, $1 || '_')")
        .bind(prefix)
        .fetch_all(admin)
        .await?)
}

async fn remove_stale(admin: &mut PgConnection) -> Result<()> {
    for name in names(admin, PREFIX).await?.into_iter().filter(|name| is_stale(PREFIX, name)) {
        if let Err(error) = execute(admin, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await {
            tracing::debug!(name, %error, "another test removes it already");
        }
    }
    Ok(())
}

/// The template for the migrations as they are now. One test makes it; the others wait for the lock and find it made.
async fn make_template(server: &PgConnectOptions, admin: &mut PgConnection, folder: &Path) -> Result<String> {
    let name = format!("{TEMPLATE_PREFIX}_{}", digest(folder)?);
    sqlx::query("SELECT pg_advisory_lock($1)").bind(TEMPLATE_LOCK).execute(&mut *admin).await?;
    let made = fill_template(server, admin, folder, &name).await;
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(TEMPLATE_LOCK).execute(&mut *admin).await?;
    made?;
    Ok(name)
}

async fn fill_template(server: &PgConnectOptions, admin: &mut PgConnection, folder: &Path, name: &str) -> Result<()> {
    let known = names(admin, TEMPLATE_PREFIX).await?;
    if known.iter().any(|known| known == name) {
        return Ok(());
    }
    // Under the name of a finished template there is never a half-migrated database: it is renamed when it is whole.
    let part = format!("{TEMPLATE_PREFIX}_part");
    for old in known {
        execute(admin, format!("DROP DATABASE IF EXISTS {old} WITH (FORCE)")).await?;
    }
    execute(admin, format!("CREATE DATABASE {part}")).await?;
    let migrator =
        Migrator::new(folder).await.with_context(|| format!("cannot read the migrations in {}", folder.display()))?;
    let mut connection = server.clone().database(&part).connect().await?;
    migrator.run(&mut connection).await.context("a migration failed on an empty database")?;
    connection.close().await?;
    execute(admin, format!("ALTER DATABASE {part} RENAME TO {name}")).await
}

/// The first 16 hexadecimal digits of the SHA-256 over names and contents of the migrations.
fn digest(folder: &Path) -> Result<String> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .with_context(|| format!("cannot read the migrations in {}", folder.display()))?
        .collect::<std::io::Result<Vec<_>>>()?
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        hash.update(file.file_name().unwrap_or_default().as_encoded_bytes());
        hash.update([0]);
        hash.update(std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?);
    }
    Ok(hex::encode(hash.finalize())[..16].to_owned())
}
