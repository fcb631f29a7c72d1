//! Settings of who may come in: the table `[access]` of the settings file.

use super::ConfigError;
use crate::duration;
use domain::Scope;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Who needs no key.
#[derive(clap::ValueEnum, Deserialize, Debug, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// Programs on this machine, as long as the coordinator listens on a loopback address only. Elsewhere everybody needs one.
    #[default]
    Loopback,
    /// Nobody: every request needs a key. For coordinators behind a proxy on their own machine, and machines with several users.
    Keys,
}

/// These settings as they may be given.
#[derive(clap::Args, Deserialize, Debug, Default, Clone)]
#[serde(default, deny_unknown_fields)]
pub struct AccessSettings {
    /// `loopback`: programs on this machine need no API key while the coordinator listens on a loopback address. `keys`: everybody
    /// does. [default: loopback]
    #[arg(long, env = "CFX_AUTH", global = true)]
    pub auth: Option<Auth>,
    /// Where the administrator's first key is written, or read if it is there. [default: admin.key in
    /// $XDG_STATE_HOME/counterfactory or ~/.local/state/counterfactory]
    #[arg(long, env = "CFX_ADMIN_KEY_FILE", global = true)]
    pub admin_key_file: Option<PathBuf>,
    /// Let anybody read /metrics. [default: only programs on this machine, and keys]
    #[arg(long, env = "CFX_METRICS_OPEN", global = true)]
    pub metrics_open: Option<bool>,
    /// People reach this coordinator by https, through a proxy: cookies are never sent without it. [default: as
    /// `X-Forwarded-Proto` says]
    #[arg(long, env = "CFX_HTTPS", global = true)]
    pub https: Option<bool>,
    /// After this time people log in to the dashboard again. [default: 12h]
    #[arg(long, env = "CFX_SESSION", global = true, value_parser = duration::parse)]
    #[serde(deserialize_with = "duration::deserialize_some")]
    pub session: Option<Duration>,
    /// Address of an OpenID Connect provider whose tokens are accepted beside keys, such as https://login.example.org/realms/lab.
    #[arg(long, env = "CFX_OIDC_ISSUER", global = true)]
    pub oidc_issuer: Option<String>,
    /// What tokens must name as their audience (`aud`).
    #[arg(long, env = "CFX_OIDC_AUDIENCE", global = true)]
    pub oidc_audience: Option<String>,
    /// The claim that tells the scope: read, submit, operate or admin, alone or among others, also as `cfx:read`. [default: cfx_scope]
    #[arg(long, env = "CFX_OIDC_SCOPE_CLAIM", global = true)]
    pub oidc_scope_claim: Option<String>,
    /// The claim that tells the project or projects; `*` stands for all. [default: cfx_project]
    #[arg(long, env = "CFX_OIDC_PROJECT_CLAIM", global = true)]
    pub oidc_project_claim: Option<String>,
    /// Scopes by other values of that claim, such as groups of the provider: `{ "ml-leads" = "operate" }`.
    #[arg(skip)]
    pub oidc_scopes: BTreeMap<String, Scope>,
}

/// The settings, complete.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Who needs no key.
    pub auth: Auth,
    /// Where the administrator's first key lies.
    pub admin_key_file: PathBuf,
    /// Whether anybody may read the metrics.
    pub metrics_open: bool,
    /// Whether people come by https whatever a request says.
    pub https: bool,
    /// How long a session of the dashboard lasts.
    pub session: Duration,
    /// The provider of tokens.
    pub oidc: Option<OidcSettings>,
}

/// An OpenID Connect provider, and how its tokens are read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OidcSettings {
    /// `iss` of its tokens; its configuration lies beneath.
    pub issuer: String,
    /// `aud` of tokens that are meant for this installation.
    pub audience: String,
    /// The claim with the scope.
    pub scope_claim: String,
    /// The claim with the projects.
    pub project_claim: String,
    /// Scopes by other values.
    pub scopes: BTreeMap<String, Scope>,
}

impl AccessSettings {
    /// What is not given here, from `file`.
    pub(super) fn or(self, file: Self) -> Self {
        Self {
            auth: self.auth.or(file.auth),
            admin_key_file: self.admin_key_file.or(file.admin_key_file),
            metrics_open: self.metrics_open.or(file.metrics_open),
            https: self.https.or(file.https),
            session: self.session.or(file.session),
            oidc_issuer: self.oidc_issuer.or(file.oidc_issuer),
            oidc_audience: self.oidc_audience.or(file.oidc_audience),
            oidc_scope_claim: self.oidc_scope_claim.or(file.oidc_scope_claim),
            oidc_project_claim: self.oidc_project_claim.or(file.oidc_project_claim),
            oidc_scopes: file.oidc_scopes,
        }
    }

    /// Fills in the defaults.
    ///
    /// # Errors
    /// When a provider is named without an audience, or would be asked without TLS.
    pub fn resolve(&self) -> Result<Access, ConfigError> {
        Ok(Access {
            auth: self.auth.unwrap_or_default(),
            admin_key_file: self.admin_key_file.clone().unwrap_or_else(default_key_file),
            metrics_open: self.metrics_open.unwrap_or(false),
            https: self.https.unwrap_or(false),
            session: self.session.unwrap_or(Duration::from_secs(12 * 3600)),
            oidc: self.oidc()?,
        })
    }

    fn oidc(&self) -> Result<Option<OidcSettings>, ConfigError> {
        let Some(issuer) = self.oidc_issuer.clone().filter(|issuer| !issuer.is_empty()) else { return Ok(None) };
        let local = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
        let rest = local.iter().find_map(|start| issuer.strip_prefix(start));
        if !issuer.starts_with("https://") && !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
        {
            return Err(ConfigError::InsecureIssuer(issuer));
        }
        let missing = ConfigError::Missing { name: "oidc_audience", flag: "oidc-audience", env: "CFX_OIDC_AUDIENCE" };
        Ok(Some(OidcSettings {
            issuer,
            // without it a token that was made for any other program of the provider's would be accepted
            audience: self.oidc_audience.clone().filter(|audience| !audience.is_empty()).ok_or(missing)?,
            scope_claim: self.oidc_scope_claim.clone().unwrap_or_else(|| "cfx_scope".to_owned()),
            project_claim: self.oidc_project_claim.clone().unwrap_or_else(|| "cfx_project".to_owned()),
            scopes: self.oidc_scopes.clone(),
        }))
    }
}

impl Access {
    /// Whether programs on this machine need no key at a coordinator that listens at `address`.
    pub fn trusts_this_machine(&self, address: SocketAddr) -> bool {
        self.auth == Auth::Loopback && address.ip().to_canonical().is_loopback()
    }
}

/// Where programs keep what they must not lose (XDG base directories); beside the process where nobody has a home.
fn default_key_file() -> PathBuf {
    let given = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = given("XDG_STATE_HOME").or_else(|| given("HOME").map(|home| home.join(".local/state")));
    state.unwrap_or_else(|| PathBuf::from(".local")).join("counterfactory/admin.key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_needs_an_audience_and_tls() {
        let given = |issuer: &str, audience: Option<&str>| AccessSettings {
            oidc_issuer: Some(issuer.to_owned()),
            oidc_audience: audience.map(str::to_owned),
            ..AccessSettings::default()
        };
        assert!(given("https://login.example", Some("cfx")).resolve().unwrap().oidc.is_some());
        assert!(given("http://127.0.0.1:9000", Some("cfx")).resolve().unwrap().oidc.is_some());
        assert!(given("https://login.example", None).resolve().is_err());
        for issuer in
            ["http://login.example", "http://127.0.0.1.evil.example", "http://localhost@evil.example", "ftp://x"]
        {
            assert!(matches!(given(issuer, Some("cfx")).resolve(), Err(ConfigError::InsecureIssuer(_))), "{issuer}");
        }
    }

    #[test]
    fn only_a_loopback_address_trusts_this_machine_and_only_by_the_setting() {
        let access = |auth| Access { auth, ..Access::default() };
        for (address, trusts) in [("127.0.0.1:1", true), ("[::1]:1", true), ("0.0.0.0:1", false), ("10.1.2.3:1", false)]
        {
            assert_eq!(access(Auth::Loopback).trusts_this_machine(address.parse().unwrap()), trusts, "{address}");
            assert!(!access(Auth::Keys).trusts_this_machine(address.parse().unwrap()));
        }
    }
}
