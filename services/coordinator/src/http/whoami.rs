//! `GET /v1/whoami`: who asks, and what they may do.

use crate::access::{Principal, Who};
use axum::Json;
use wire::http::v1::WhoAmI;

/// What came of the key that was shown.
#[utoipa::path(
    get,
    path = "/v1/whoami",
    operation_id = "who_am_i",
    tag = "access",
    responses((status = 200, description = "Who asks.", body = WhoAmI)),
)]
pub async fn handle(principal: Principal) -> Json<WhoAmI> {
    let (kind, id) = match principal.who {
        Who::Local => ("local", None),
        Who::Key { id, .. } => ("key", Some(id)),
        Who::Token { .. } => ("token", None),
    };
    Json(WhoAmI {
        name: principal.name(),
        kind: kind.to_owned(),
        id,
        scope: principal.scope,
        projects: principal.reach.names().map(<[String]>::to_vec),
        expires_at: principal.expires_at,
    })
}
