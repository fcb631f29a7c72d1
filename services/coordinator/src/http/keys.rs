//! `GET /v1/keys` and `GET /.well-known/counterfactory/keys`: what verifies this installation's signatures. Public by nature.

use super::problem::{ApiError, internal};
use crate::app::App;
use axum::Json;
use axum::extract::State;
use credentials::{Certificates, Sign as _};
use store::PublicKey;
use wire::http::v1::{Keys, SigningKey};

/// What verifies this installation's signatures: every key that ever signed, newest first.
#[utoipa::path(
    get,
    path = "/v1/keys",
    operation_id = "list_signing_keys",
    tag = "provenance",
    responses((status = 200, description = "Every key, newest first.", body = Keys)),
)]
pub async fn handle(State(app): State<App>) -> Result<Json<Keys>, ApiError> {
    let in_use = app.signing.signer().certificates().key_id();
    let view = |row: PublicKey| {
        let certificates =
            Certificates::read(&row.certificates).map_err(|e| internal("reading a key's certificates", &e))?;
        Ok(SigningKey {
            key_id: row.key_id,
            in_use: row.key_id == in_use,
            subject: certificates.subject().to_owned(),
            public_key: certificates.public_key_pem(),
            certificates: row.certificates,
            anchor: row.anchor,
            created_at: row.created_at,
            retired_at: row.retired_at,
        })
    };
    let keys = app.store.signing_keys().await?.into_iter().map(view).collect::<Result<_, ApiError>>()?;
    Ok(Json(Keys { keys }))
}

/// The same at the address where verifiers look.
#[utoipa::path(
    get,
    path = "/.well-known/counterfactory/keys",
    operation_id = "list_well_known_signing_keys",
    tag = "provenance",
    responses((status = 200, description = "Every key, newest first.", body = Keys)),
)]
pub async fn well_known(state: State<App>) -> Result<Json<Keys>, ApiError> {
    handle(state).await
}
