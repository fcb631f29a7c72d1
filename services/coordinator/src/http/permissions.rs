//! What each route needs: the one table. A route that is not in it is refused by [`crate::access::authenticate`], so a new one is
//! added here and in the router, or answers nobody; a test walks it with keys of every scope and project.
//!
//! `operate` is what changes running work of a project, `submit` what adds some. What concerns all projects (packs, shares) needs a
//! key for all of them, whatever its scope. `HEAD` is allowed where `GET` is.

use axum::http::Method;
use domain::Scope;
use domain::Scope::{Admin, Operate, Read, Submit};

/// What a request needs to be let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Needs {
    /// Nothing. For probes, which tell nobody anything, and for what a login is made of.
    Nothing,
    /// To come from this machine, or any key; a setting opens it.
    Metrics,
    /// A key of this scope at least, for whatever project.
    Key(Scope),
    /// A key of this scope at least that is for all projects.
    Everywhere(Scope),
}

impl Needs {
    /// The smallest scope that is enough; `None` where none is needed.
    pub const fn scope(self) -> Option<Scope> {
        match self {
            Self::Nothing => None,
            Self::Metrics => Some(Read),
            Self::Key(scope) | Self::Everywhere(scope) => Some(scope),
        }
    }
}

/// Who reads the answers, and so how a refusal looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Surface {
    /// Programs: problems.
    Api,
    /// People: pages, and the way to the login. Changes carry the page's token in a header.
    Page,
    /// A form that works without a script: its handler checks the token itself, in a field.
    Form,
}

/// A route and its need.
#[derive(Debug)]
pub struct Rule {
    /// The method.
    pub method: Method,
    /// The path as it stands in the router.
    pub path: &'static str,
    /// The need.
    pub needs: Needs,
    /// Who reads the answers.
    pub surface: Surface,
}

const fn api(method: Method, path: &'static str, needs: Needs) -> Rule {
    Rule { method, path, needs, surface: Surface::Api }
}

const fn page(path: &'static str, needs: Needs) -> Rule {
    Rule { method: Method::GET, path, needs, surface: Surface::Page }
}

/// What a page asks to be changed, or asks by POST because of its size.
const fn change(path: &'static str, needs: Needs) -> Rule {
    Rule { method: Method::POST, path, needs, surface: Surface::Page }
}

const fn form(path: &'static str, needs: Needs) -> Rule {
    Rule { method: Method::POST, path, needs, surface: Surface::Form }
}

/// For addresses that do not exist: whoever may look at anything may know.
pub static UNKNOWN: Rule = api(Method::GET, "", Needs::Key(Read));

/// Every route there is.
pub static RULES: &[Rule] = &[
    api(Method::PUT, "/v1/blobs/{sha256}", Needs::Key(Submit)),
    api(Method::GET, "/v1/blobs/{sha256}", Needs::Key(Read)),
    api(Method::POST, "/v1/uploads", Needs::Key(Submit)),
    api(Method::POST, "/v1/datasets", Needs::Key(Submit)),
    api(Method::GET, "/v1/datasets", Needs::Key(Read)),
    api(Method::GET, "/v1/datasets/{name}", Needs::Key(Read)),
    api(Method::POST, "/v1/datasets/{name}/sources", Needs::Key(Submit)),
    api(Method::GET, "/v1/datasets/{name}/sources", Needs::Key(Read)),
    api(Method::POST, "/v1/packs", Needs::Everywhere(Operate)),
    api(Method::GET, "/v1/packs", Needs::Key(Read)),
    api(Method::GET, "/v1/packs/{name}", Needs::Key(Read)),
    api(Method::POST, "/v1/jobs", Needs::Key(Submit)),
    api(Method::GET, "/v1/jobs", Needs::Key(Read)),
    api(Method::GET, "/v1/jobs/{id}", Needs::Key(Read)),
    api(Method::POST, "/v1/jobs/{id}/pause", Needs::Key(Operate)),
    api(Method::POST, "/v1/jobs/{id}/resume", Needs::Key(Operate)),
    api(Method::POST, "/v1/jobs/{id}/cancel", Needs::Key(Operate)),
    api(Method::POST, "/v1/jobs/{id}/retry", Needs::Key(Operate)),
    api(Method::GET, "/v1/jobs/{id}/limits", Needs::Key(Read)),
    api(Method::POST, "/v1/jobs/{id}/limits", Needs::Key(Operate)),
    api(Method::GET, "/v1/jobs/{id}/seals", Needs::Key(Read)),
    api(Method::GET, "/v1/jobs/{id}/tasks", Needs::Key(Read)),
    api(Method::POST, "/v1/jobs/{id}/tasks/pause", Needs::Key(Operate)),
    api(Method::POST, "/v1/jobs/{id}/tasks/resume", Needs::Key(Operate)),
    api(Method::POST, "/v1/jobs/{id}/tasks/cancel", Needs::Key(Operate)),
    api(Method::GET, "/v1/jobs/{id}/results", Needs::Key(Read)),
    api(Method::GET, "/v1/jobs/{id}/pairs", Needs::Key(Read)),
    api(Method::GET, "/v1/tasks/{task}", Needs::Key(Read)),
    api(Method::GET, "/v1/results/{task}", Needs::Key(Read)),
    api(Method::GET, "/v1/results/{task}/companions/{kind}", Needs::Key(Read)),
    api(Method::PUT, "/v1/results/{task}/review", Needs::Key(Operate)),
    api(Method::GET, "/v1/jobs/{id}/events", Needs::Key(Read)),
    api(Method::GET, "/v1/records/{digest}", Needs::Key(Read)),
    api(Method::GET, "/v1/workers", Needs::Key(Read)),
    api(Method::POST, "/v1/workers/{boot}/drain", Needs::Everywhere(Operate)),
    api(Method::GET, "/v1/projects", Needs::Key(Read)),
    api(Method::GET, "/v1/projects/{name}", Needs::Key(Read)),
    api(Method::POST, "/v1/projects/{name}", Needs::Everywhere(Admin)),
    api(Method::GET, "/v1/keys", Needs::Key(Read)),
    api(Method::GET, "/.well-known/counterfactory/keys", Needs::Key(Read)),
    api(Method::GET, "/v1/audit", Needs::Key(Read)),
    api(Method::GET, "/v1/whoami", Needs::Key(Read)),
    api(Method::POST, "/v1/api-keys", Needs::Key(Admin)),
    api(Method::GET, "/v1/api-keys", Needs::Key(Admin)),
    api(Method::DELETE, "/v1/api-keys/{id}", Needs::Key(Admin)),
    api(Method::POST, "/v1/api-keys/{id}/rotate", Needs::Key(Admin)),
    api(Method::GET, "/openapi.json", Needs::Key(Read)),
    api(Method::GET, "/healthz", Needs::Nothing),
    api(Method::GET, "/readyz", Needs::Nothing),
    api(Method::GET, "/metrics", Needs::Metrics),
    page("/", Needs::Key(Read)),
    page("/jobs/new", Needs::Key(Read)),
    page("/jobs/{id}", Needs::Key(Read)),
    page("/jobs/{id}/gallery", Needs::Key(Read)),
    page("/results/{task}", Needs::Key(Read)),
    page("/tasks/{task}", Needs::Key(Read)),
    page("/workers", Needs::Key(Read)),
    page("/datasets", Needs::Key(Read)),
    page("/datasets/{name}", Needs::Key(Read)),
    page("/packs", Needs::Key(Read)),
    page("/packs/{name}", Needs::Key(Read)),
    page("/audit", Needs::Key(Read)),
    page("/assets/{digest}/{name}", Needs::Nothing),
    page("/ui/events", Needs::Key(Read)),
    page("/ui/thumbs/{sha256}", Needs::Key(Read)),
    page("/ui/results/{task}/credential", Needs::Key(Read)),
    page("/ui/jobs/{id}/preview", Needs::Key(Read)),
    change("/ui/jobs/estimate", Needs::Key(Read)),
    change("/ui/jobs", Needs::Key(Submit)),
    change("/ui/jobs/preview", Needs::Key(Submit)),
    change("/ui/jobs/{id}/pause", Needs::Key(Operate)),
    change("/ui/jobs/{id}/resume", Needs::Key(Operate)),
    change("/ui/jobs/{id}/cancel", Needs::Key(Operate)),
    change("/ui/jobs/{id}/redrive/dry-run", Needs::Key(Operate)),
    change("/ui/jobs/{id}/redrive", Needs::Key(Operate)),
    change("/ui/jobs/{id}/limits", Needs::Key(Operate)),
    change("/ui/tasks/{task}/pause", Needs::Key(Operate)),
    change("/ui/tasks/{task}/resume", Needs::Key(Operate)),
    change("/ui/tasks/{task}/cancel", Needs::Key(Operate)),
    change("/ui/results/{task}/review", Needs::Key(Operate)),
    change("/ui/workers/{boot}/drain", Needs::Everywhere(Operate)),
    page("/login", Needs::Nothing),
    form("/login", Needs::Nothing),
    form("/logout", Needs::Key(Read)),
];

/// What the table says of a request.
pub enum Declared {
    /// Its need.
    Rule(&'static Rule),
    /// The route is known, with other methods.
    OtherMethod,
    /// The router has a route that the table has not.
    Nowhere,
}

/// Looks a request up by its method and the route that the router found.
pub fn declared(method: &Method, route: Option<&str>) -> Declared {
    let Some(route) = route else { return Declared::Rule(&UNKNOWN) };
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let mut of_path = RULES.iter().filter(|rule| rule.path == route).peekable();
    if of_path.peek().is_none() {
        return Declared::Nowhere;
    }
    of_path.find(|rule| rule.method == *method).map_or(Declared::OtherMethod, Declared::Rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_declared_once_and_one_that_is_not_is_told_apart() {
        for (n, rule) in RULES.iter().enumerate() {
            let again = RULES[..n].iter().any(|other| other.path == rule.path && other.method == rule.method);
            assert!(!again, "{} {} is declared twice", rule.method, rule.path);
            assert!(
                matches!(declared(&rule.method, Some(rule.path)), Declared::Rule(found) if std::ptr::eq(found, rule))
            );
        }
        assert!(matches!(declared(&Method::HEAD, Some("/v1/jobs")), Declared::Rule(_)));
        assert!(matches!(declared(&Method::DELETE, Some("/v1/jobs")), Declared::OtherMethod));
        assert!(matches!(declared(&Method::GET, Some("/v1/secrets")), Declared::Nowhere));
    }

    #[test]
    fn nothing_that_changes_something_is_open_or_for_readers() {
        for rule in RULES.iter().filter(|rule| rule.method != Method::GET && rule.surface == Surface::Api) {
            assert!(rule.needs.scope().is_some_and(|scope| scope > Read), "{} {}", rule.method, rule.path);
        }
    }
}
