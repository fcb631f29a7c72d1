//! Who asks, and what they may do.
//!
//! A request proves itself by an API key (`Authorization: Bearer cfx_<id>_<secret>`), by a token of an OpenID Connect provider in the
//! same header ([`oidc`]), by the cookie of a dashboard session that was begun with a key ([`session`]), or, where that is allowed,
//! by coming from this very machine ([`local`]). What comes of it is a [`Principal`]; every route's need is in
//! [`crate::http::permissions`], and [`authenticate`] holds one against the other before any handler runs.
//!
//! **Projects.** The project of a request is the key's. A key for all projects chooses one with `cfx-project`, `default` where it
//! says nothing; a key for one project that names another is refused. What belongs to other projects (jobs, datasets, tasks, results,
//! records, keys, entries of the audit log) is answered as if it was not there; of a worker's tasks only how many they are.
//!
//! **Blobs** are the exception, for a reason: they are named by their SHA-256 and shared, so that equal bytes are kept once whoever
//! uploaded them, and belong to no project. Their digest is the permission: 256 bits that nobody guesses, told only by answers
//! that the project's own things give. Whoever has a key and knows a digest may read the bytes, or name them in a dataset; what
//! that gives away to other projects is whether bytes that one holds already are here. Packs belong to the installation.
//!
//! Nothing here holds state that matters: a coordinator that restarts forgets how often somebody asked, nothing else.

pub mod authenticate;
pub mod first_key;
pub mod issue;
pub mod limits;
pub mod local;
pub mod oidc;
pub mod session;

use crate::config::Config;
use crate::http::problem::ApiError;
use domain::{ApiKeyId, Scope};
use limits::RateLimits;
use oidc::Oidc;
use tokio::sync::Semaphore;

/// Who asks, proven.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Principal {
    /// Who.
    pub who: Who,
    /// What they may do.
    pub scope: Scope,
    /// Where.
    pub reach: Reach,
    /// When what they showed ends by itself.
    pub expires_at: Option<chrono::DateTime<chrono::Utc>>,
}

/// What somebody may do by the buttons of pages. The table of permissions decides; this is for not showing what it would refuse.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct May {
    /// Submit jobs.
    pub submit: bool,
    /// Hold back, end and retry, set limits, review.
    pub operate: bool,
    /// Tell workers to end, which are everybody's.
    pub drain: bool,
}

/// How somebody proved who they are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Who {
    /// By working on this machine.
    Local,
    /// By a key, or a session that was begun with it.
    Key {
        /// The key.
        id: ApiKeyId,
        /// Its name.
        name: String,
    },
    /// By a token of the OpenID Connect provider.
    Token {
        /// `sub` of the token.
        subject: String,
    },
}

/// The projects that somebody may touch.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Reach {
    /// All there are and will be.
    All,
    /// These.
    Projects(Vec<String>),
}

impl Reach {
    /// Names of the projects, for the store's filters; `None` for all.
    pub fn names(&self) -> Option<&[String]> {
        match self {
            Self::All => None,
            Self::Projects(names) => Some(names),
        }
    }

    /// Whether `project` is within.
    pub fn includes(&self, project: &str) -> bool {
        self.names().is_none_or(|names| names.iter().any(|name| name == project))
    }
}

impl Principal {
    /// Somebody on this machine: may do everything, as the owner of the processes could anyway.
    pub const fn local() -> Self {
        Self { who: Who::Local, scope: Scope::Admin, reach: Reach::All, expires_at: None }
    }

    /// What a key stands for.
    pub fn of_key(key: &store::ApiKeyRow) -> Self {
        let reach = key.project.clone().map_or(Reach::All, |name| Reach::Projects(vec![name]));
        let who = Who::Key { id: key.id, name: key.name.clone() };
        Self { who, scope: key.scope, reach, expires_at: key.expires_at }
    }

    /// What pages offer to do.
    pub fn may(&self) -> May {
        let operate = self.scope >= Scope::Operate;
        May { submit: self.scope >= Scope::Submit, operate, drain: operate && self.reach.names().is_none() }
    }

    /// The name in the audit log and in records: of a key its name and id, since names repeat.
    pub fn name(&self) -> String {
        match &self.who {
            Who::Local => "local".to_owned(),
            Who::Key { id, name } => format!("{name} ({id})"),
            Who::Token { subject } => format!("oidc {subject}"),
        }
    }
}

/// What all requests share: limits and the verifier of tokens.
pub struct Gate {
    /// How often who may ask.
    pub rates: RateLimits,
    /// Requests in work at once, of those who have shown who they are.
    pub slots: Semaphore,
    /// The same for what is open to everybody, a login for one: strangers do not take the places of others.
    pub strangers: Semaphore,
    /// The provider of tokens, if one is set.
    pub oidc: Option<Oidc>,
    /// What pages without a session prove with that they are this coordinator's. Dies with the process: a page that was loaded
    /// before is asked to load again.
    pub local_csrf: String,
}

impl Gate {
    /// For these settings. Connects to nothing yet.
    ///
    /// # Errors
    /// When the system gives no random numbers or has no TLS for the provider.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            rates: RateLimits::new(&config.limits),
            slots: Semaphore::new(config.limits.concurrent_requests),
            strangers: Semaphore::new((config.limits.concurrent_requests / 8).max(1)),
            oidc: config.access.oidc.clone().map(Oidc::new).transpose()?,
            local_csrf: domain::Digest::of(issue::random()?).to_string(),
        })
    }
}

/// Everything that was shown and does not prove anything, as one answer a reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unproven {
    /// Nothing was shown.
    Nothing,
    /// What was shown is no key of this installation, or its secret is wrong. Which of the two is not told.
    Unknown,
    /// The key has expired.
    Expired,
    /// The key was revoked.
    Revoked,
    /// The secret was replaced, and its overlap is over.
    Rotated,
    /// The session is over.
    SessionOver,
}

impl From<Unproven> for ApiError {
    fn from(why: Unproven) -> Self {
        let (code, detail) = match why {
            Unproven::Nothing => (
                "unauthenticated",
                "this needs an API key: send `Authorization: Bearer cfx_...`, or set CFX_API_KEY or CFX_API_KEY_FILE for cfx",
            ),
            Unproven::Unknown => ("invalid_key", "the key is none of this installation's; check that it is whole"),
            Unproven::Expired => ("expired_key", "the key has expired; ask an administrator for another"),
            Unproven::Revoked => ("revoked_key", "the key was revoked; ask an administrator for another"),
            Unproven::Rotated => {
                ("rotated_key", "the key has a new secret, and this one no longer holds; use the new one")
            }
            Unproven::SessionOver => ("session_over", "the session is over; log in again"),
        };
        Self::Unauthenticated { code, detail }
    }
}
