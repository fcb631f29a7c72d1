//! `GET /openapi.json`: the interface as programs read it (OpenAPI 3.1). It is made of the attributes of the handlers and of the types
//! they read and write; what holds for every route (who may use it, how refusals look) comes from [`permissions`] and from here. The
//! committed copy is `deploy/openapi.json` (`coordinator openapi` writes it), and a test holds it against this.

use super::idempotency::{self, Keyed};
use super::permissions::{self, Declared, Needs};
use super::problem::ApiError;
use axum::http::{Method, header as names};
use axum::response::IntoResponse;
use std::sync::LazyLock;
use utoipa::Modify;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ArrayItems, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{OpenApi, Ref, RefOr, Required, ResponseBuilder};
use wire::http::v1::Problem;

/// The document without its paths.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Counterfactory",
        description = "Text-driven counterfactual image editing at dataset scale: datasets go in, jobs run over them, results come out with \
                       their provenance. Refusals are problems (RFC 9457) with a stable `code`. Lists are read page by page: pass `next` \
                       back as `after`."
    ),
    servers((url = "/", description = "The coordinator that answers this.")),
    components(schemas(Problem)),
    tags(
        (name = "blobs", description = "Bytes by their SHA-256."),
        (name = "datasets", description = "Source images with labels, masks and landmarks."),
        (name = "packs", description = "Generators with what is needed to edit in their latent space."),
        (name = "jobs", description = "Dataset x edits x strengths x seeds on one pack."),
        (name = "tasks", description = "The units of a job's work."),
        (name = "results", description = "Finished edits."),
        (name = "provenance", description = "Records, credentials, seals and the keys that verify them."),
        (name = "workers", description = "The processes that edit."),
        (name = "projects", description = "Tenants, among whom GPU time is shared."),
        (name = "access", description = "API keys, and who asks."),
        (name = "operations", description = "Probes, metrics and the audit log.")
    ),
    modifiers(&Bearer)
)]
pub struct Frame;

/// How a key is shown.
struct Bearer;

const BEARER: &str = "bearer";

impl Modify for Bearer {
    fn modify(&self, document: &mut OpenApi) {
        let description = "An API key (`cfx_<id>_<secret>`) or a token of the identity provider that the installation trusts. Programs on \
                           the coordinator's own machine need none, unless it is set otherwise.";
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description)).build();
        document.components.get_or_insert_default().add_security_scheme(BEARER, SecurityScheme::Http(scheme));
    }
}

/// The whole document.
pub fn document() -> OpenApi {
    let mut document = super::api().into_openapi();
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            complete(&method, path, operation);
        }
    }
    if let Some(components) = &mut document.components {
        for (name, schema) in &mut components.schemas {
            refer(name, schema);
        }
    }
    document
}

/// Pages name their rows instead of repeating them, which a derive on a generic type does.
fn refer(name: &str, schema: &mut RefOr<Schema>) {
    if let (Some(row), RefOr::T(Schema::Object(page))) = (name.strip_prefix("Page_"), schema)
        && let Some(RefOr::T(Schema::Array(rows))) = page.properties.get_mut("items")
    {
        rows.items = ArrayItems::RefOrSchema(Box::new(Ref::from_schema_name(row).into()));
    }
}

/// A parameter is there or is not: it is never null, which a derive says of one that may be left out.
fn never_null(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Object(object)) => {
            if let SchemaType::Array(types) = &object.schema_type {
                let named = types.iter().find(|kind| **kind != Type::Null).cloned();
                object.schema_type = named.map_or(SchemaType::AnyValue, SchemaType::Type);
            }
        }
        RefOr::T(Schema::OneOf(choice)) => {
            let null = |item: &RefOr<Schema>| matches!(item, RefOr::T(Schema::Object(object)) if object.schema_type == SchemaType::Type(Type::Null));
            choice.items.retain(|item| !null(item));
            if let [only] = choice.items.as_slice() {
                *schema = only.clone();
            }
        }
        _ => {}
    }
}

/// The document as it is committed and answered.
///
/// # Errors
/// Never for the types there are: it holds texts, numbers and lists.
pub fn text() -> Result<String, serde_json::Error> {
    document().to_pretty_json().map(|text| text + "\n")
}

fn operations(item: &mut PathItem) -> Vec<(Method, &mut Operation)> {
    let PathItem { get, put, post, delete, head, .. } = item;
    let each =
        [(Method::GET, get), (Method::PUT, put), (Method::POST, post), (Method::DELETE, delete), (Method::HEAD, head)];
    each.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?))).collect()
}

/// Adds what holds for every operation of its kind.
fn complete(method: &Method, path: &str, operation: &mut Operation) {
    let Declared::Rule(rule) = permissions::declared(method, Some(path)) else { return };
    let who = match rule.needs {
        Needs::Nothing => "Open to everybody.".to_owned(),
        Needs::Metrics => "For programs on the coordinator's machine, or with any key; a setting opens it.".to_owned(),
        Needs::Key(scope) => format!("Needs the scope `{scope}`."),
        Needs::Everywhere(scope) => format!("Needs the scope `{scope}` of a key for all projects."),
    };
    let said = operation.description.take().map_or_else(String::new, |text| text + "\n\n");
    operation.description = Some(said + &who);
    operation.security = Some(if rule.needs == Needs::Nothing {
        Vec::new()
    } else {
        // nothing, from the coordinator's own machine
        vec![SecurityRequirement::new::<_, [&str; 0], &str>(BEARER, []), SecurityRequirement::default()]
    });
    let mut headers = Vec::new();
    if matches!(rule.needs, Needs::Key(_) | Needs::Everywhere(_)) {
        let project =
            header("cfx-project", "The project; absent for the key's only one, or `default`.", form(100, NAME));
        headers.push(project);
    }
    if idempotency::keyed(method, path) == Keyed::Kept {
        let said = "The same request with the same key is done once within a day, and its answer given again.";
        headers.push(header(idempotency::HEADER, said, form(200, VISIBLE)));
    }
    let answers_json =
        operation.responses.responses.get("200").is_some_and(
            |answer| matches!(answer, RefOr::T(answer) if answer.content.contains_key("application/json")),
        );
    if method == Method::GET && path.starts_with("/v1/") && answers_json {
        let said = "The `etag` of the copy that the asker has.";
        headers.push(header("if-none-match", said, any_text()));
        let same = ResponseBuilder::new().description("The copy still holds.").build();
        operation.responses.responses.insert("304".to_owned(), RefOr::T(same));
    }
    if !headers.is_empty() {
        let headers = headers.into_iter().map(|header| RefOr::T(header.build()));
        operation.parameters.get_or_insert_default().extend(headers);
    }
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(Parameter { schema: Some(schema), .. }) = parameter {
            never_null(schema);
        }
    }
    if let (true, Some(RefOr::T(body))) = (path == "/v1/blobs/{sha256}", &mut operation.request_body) {
        // nothing at all is a blob, too
        body.required = Some(Required::False);
    }
    for (status, description) in refusals(rule.needs, method, path, operation) {
        let answer = ResponseBuilder::new().description(description).content(
            "application/problem+json",
            ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build(),
        );
        operation.responses.responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(answer.build()));
    }
}

/// What a name looks like.
const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9._-]*$";
/// Visible ASCII characters.
const VISIBLE: &str = "^[!-~]+$";

/// A header that may be left out.
fn header(name: &str, description: &str, text: ObjectBuilder) -> ParameterBuilder {
    let header = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Header).required(Required::False);
    header.description(Some(description)).schema(Some(text))
}

/// Any text.
fn any_text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// A text of 1 to `longest` characters of this form.
fn form(longest: usize, pattern: &str) -> ObjectBuilder {
    any_text().min_length(Some(1)).max_length(Some(longest)).pattern(Some(pattern))
}

/// What may be answered in place of what was asked for, and why.
fn refusals(needs: Needs, method: &Method, path: &str, operation: &Operation) -> Vec<(&'static str, &'static str)> {
    let mut refusals = vec![
        ("500", "A defect; the log has the details."),
        ("503", "A needed service does not answer, or too much is in work."),
        ("504", "It took longer than the limit."),
    ];
    if needs != Needs::Nothing {
        refusals.extend([
            ("400", "A parameter, a header or the body cannot be read."),
            ("401", "It is not known who asks."),
            ("403", "Who asks may not."),
            ("429", "Too many requests; `retry-after` says when."),
        ]);
    }
    let keyed = idempotency::keyed(method, path) == Keyed::Kept;
    if keyed {
        refusals.push(("409", "The same request with the same idempotency key is in work."));
    }
    if keyed || operation.request_body.is_some() {
        refusals.push(("422", "The request can be read and has a fault, which `detail` names."));
    }
    if path.contains('{') || matches!(needs, Needs::Key(_)) {
        refusals.push(("404", "It is not there, or not in this project."));
    }
    if operation.request_body.is_some() {
        refusals.extend([
            ("408", "The body stopped on its way."),
            ("413", "The body is too large."),
            ("415", "The body is not declared as what it must be."),
        ]);
    }
    refusals
}

/// Written once a process: it never changes.
static TEXT: LazyLock<Option<String>> = LazyLock::new(|| text().ok());

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "get_openapi",
    tag = "operations",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object)),
)]
pub async fn handle() -> Result<impl IntoResponse, ApiError> {
    let text = TEXT.as_deref().ok_or(ApiError::Internal)?;
    Ok(([(names::CONTENT_TYPE, "application/json")], text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::permissions::{RULES, Surface};
    use std::collections::BTreeSet;

    fn declared() -> BTreeSet<(String, String)> {
        let mut document = document();
        let each = document.paths.paths.iter_mut().flat_map(|(path, item)| {
            operations(item).into_iter().map(|(method, _)| (method.to_string(), path.clone())).collect::<Vec<_>>()
        });
        each.filter(|(method, _)| method != "HEAD").collect()
    }

    #[test]
    fn every_route_for_programs_is_in_the_document_and_no_other() {
        let rules = RULES.iter().filter(|rule| rule.surface == Surface::Api);
        let rules: BTreeSet<_> = rules.map(|rule| (rule.method.to_string(), rule.path.to_owned())).collect();
        assert_eq!(declared(), rules);
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_and_says_what_it_does() {
        let mut document = document();
        let mut names = BTreeSet::new();
        for (path, item) in &mut document.paths.paths {
            for (method, operation) in operations(item) {
                let name = operation.operation_id.clone().unwrap_or_default();
                assert!(!name.is_empty() && names.insert(name), "{method} {path}");
                assert!(operation.summary.as_ref().is_some_and(|text| !text.is_empty()), "{method} {path}");
            }
        }
    }

    #[test]
    fn the_committed_document_is_this_one() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/openapi.json");
        let committed = std::fs::read_to_string(file).unwrap_or_default();
        let now = text().unwrap();
        assert!(
            committed == now,
            "the interface has changed: write `target/debug/coordinator openapi` to deploy/openapi.json"
        );
    }
}
