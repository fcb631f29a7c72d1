//! Where the services for tests are: those of `make up`, unless `CFX_TEST_*` names others.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The addresses of the services that tests use. Only `CFX_TEST_*` variables and `.local/stack.env` are read, never plain
/// `CFX_*`: a shell that is set up for a real installation must not have its databases used for tests.
#[derive(Debug, Clone)]
pub struct Stack {
    /// `postgres://user:password@host:port/database`, a role that may create databases.
    pub database_url: String,
    /// `amqp://user:password@host:port/vhost`, a user with the administrator tag.
    pub broker_url: String,
    /// `http://user:password@host:port`, RabbitMQ's management API for the same node.
    pub broker_api: String,
    /// The S3 endpoint that `make up` runs.
    pub s3_endpoint: String,
    /// Its access key.
    pub s3_access_key: String,
    /// Its secret key.
    pub s3_secret_key: String,
}

impl Stack {
    /// Finds the running stack.
    ///
    /// # Errors
    /// When neither the variables nor `.local/stack.env` give an address; the message says `make up`.
    pub fn find() -> Result<Self> {
        let file = workspace_root().join(".local/stack.env");
        let written = match std::fs::read_to_string(&file) {
            Ok(text) => parse(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => HashMap::new(),
            Err(error) => return Err(error).context("cannot read .local/stack.env"),
        };
        let get = |name: &str| -> Result<String> {
            let test_name = format!("CFX_TEST_{name}");
            if let Ok(value) = std::env::var(&test_name) {
                return Ok(value);
            }
            match written.get(&format!("CFX_{name}")) {
                Some(value) => Ok(value.clone()),
                None => bail!("the services for tests are not running: run `make up` (or set {test_name})"),
            }
        };
        Ok(Self {
            database_url: get("DATABASE_URL")?,
            broker_url: get("BROKER_URL")?,
            broker_api: get("BROKER_API")?,
            s3_endpoint: get("S3_ENDPOINT")?,
            s3_access_key: get("S3_ACCESS_KEY")?,
            s3_secret_key: get("S3_SECRET_KEY")?,
        })
    }
}

fn parse(text: &str) -> HashMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect()
}

/// The root of the checkout these tests were compiled in.
#[must_use]
pub fn workspace_root() -> PathBuf {
    // Safe because this crate lies two folders below the root, at shared/testkit.
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or_else(|| Path::new("/")).to_path_buf()
}

/// `prefix_<seconds since 1970>_<random>`: unique, and old ones can be told by their name.
pub(crate) fn dated_name(prefix: &str) -> String {
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("{prefix}_{}_{}", now(), &random[..12])
}

/// Whether `name`, made by [`dated_name`] with `prefix`, is more than an hour old: longer than any test runs.
pub(crate) fn is_stale(prefix: &str, name: &str) -> bool {
    let made =
        name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_')).and_then(|rest| rest.split('_').next());
    made.and_then(|seconds| seconds.parse::<u64>().ok()).is_some_and(|seconds| now() > seconds + 3600)
}

fn now() -> u64 {
    // A clock before 1970 only makes everything look fresh: nothing is removed.
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

/// Runs `cleanup` to its end from a `drop`, where no `await` is possible: on a thread of its own with a small runtime, because
/// the test's runtime may be single-threaded or already shutting down.
pub(crate) fn block_on_cleanup<F>(what: &str, cleanup: F)
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let thread = std::thread::spawn(move || -> Result<()> {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(cleanup)
    });
    match thread.join() {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(what, error = format!("{error:#}"), "a test left something behind; it is removed in an hour")
        }
        Err(_) => tracing::warn!(what, "the cleanup of a test panicked"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_their_age() {
        assert!(!is_stale("cfxt", &dated_name("cfxt")));
        assert!(is_stale("cfxt", "cfxt_1000_abc"));
        assert!(!is_stale("cfxt", "counterfactory"));
        assert!(!is_stale("cfxt", "cfxtother_1000_abc"));
    }

    #[test]
    fn settings_keep_equal_signs_in_values() {
        assert_eq!(parse("A=b=c\n\n# no\n")["A"], "b=c");
    }
}
