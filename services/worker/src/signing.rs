//! Who signs this worker's images: a key of its own, a program that keeps one, or the coordinators, so that a machine that can vanish
//! need hold no key.
//!
//! Coordinators are asked through RabbitMQ, because a worker reaches nothing else of them. What is sent is the claim that the
//! signature is over, some hundred bytes; the image stays here.

use crate::stages::ended::Ended;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use broker::{Message, Publisher};
use credentials::{Certificates, CredentialError, Ingredient, Issuer, KeyError, Sign};
use domain::Reason;
use domain::record::{Detail, WrittenRecord};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tracing::Instrument as _;
use uuid::Uuid;
use wire::broker::v1::{Claim, SignAnswer, SignRequest};

/// How long an answer may take before the question is asked again: it may have met a coordinator that was just ending.
const ANSWER: Duration = Duration::from_secs(5);
/// For how long coordinators are asked: longer than it takes to bring up new ones. The work behind an image costs more than waiting.
const PATIENCE: Duration = Duration::from_secs(600);
/// Between tries where asking itself failed.
const PAUSE: Duration = Duration::from_millis(500);

/// Who signs.
#[derive(Clone)]
pub enum Signing {
    /// A key at hand.
    Key(Issuer),
    /// The coordinators.
    Coordinators(Arc<Coordinators>),
    /// Nobody: images leave with their record alone, and say so.
    Off,
}

/// An image to sign.
pub struct Unsigned {
    /// Its file, with everything inside that is to be signed.
    pub file: Vec<u8>,
    /// Its record.
    pub record: Arc<WrittenRecord>,
    /// How much of the record leaves with it.
    pub detail: Detail,
    /// Media type of its source.
    pub media_type: String,
    /// The source's file, where it carries a credential of its own.
    pub source: Option<bytes::Bytes>,
}

impl Signing {
    /// The signed file.
    ///
    /// # Errors
    /// When nobody signs.
    pub async fn sign(&self, image: Unsigned) -> Result<Vec<u8>, Ended> {
        let began = Instant::now();
        let signed = self.try_sign(image).instrument(tracing::info_span!("sign")).await;
        metrics::histogram!("cfx_sign_duration_seconds").record(began.elapsed().as_secs_f64());
        signed
    }

    async fn try_sign(&self, image: Unsigned) -> Result<Vec<u8>, Ended> {
        let image = Arc::new(image);
        match self {
            Self::Off => Ok(Arc::into_inner(image).map(|image| image.file).unwrap_or_default()),
            Self::Key(issuer) => issue(issuer.clone(), image).await.map_err(failure),
            Self::Coordinators(coordinators) => {
                // Keys change while images are on their way; more than once in a few milliseconds they do not.
                for _ in 0..3 {
                    let issuer = coordinators.issuer().await.map_err(failure)?;
                    match issue(issuer, Arc::clone(&image)).await {
                        Err(CredentialError::Key(KeyError::Rotated)) => coordinators.forget().await,
                        done => return done.map_err(failure),
                    }
                }
                Err(Ended::failed(Reason::SigningUnavailable, "the coordinators name another key each time"))
            }
        }
    }
}

async fn issue(issuer: Issuer, image: Arc<Unsigned>) -> Result<Vec<u8>, CredentialError> {
    let work = move || {
        let source = Ingredient { media_type: &image.media_type, credentialed: image.source.as_deref() };
        issuer.issue(&image.file, &image.record, image.detail, source)
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(CredentialError::Failed(error.to_string())))
}

fn failure(error: CredentialError) -> Ended {
    match error {
        CredentialError::Key(key) => {
            Ended::failed(Reason::SigningUnavailable, format!("the image is not signed: {key}"))
        }
        other => Ended::internal(other),
    }
}

/// The way to the coordinators' key.
pub struct Coordinators {
    line: Line,
    issuer: tokio::sync::Mutex<Option<Issuer>>,
}

#[derive(Clone)]
struct Line {
    publisher: Publisher,
    /// The queue that answers are heard from.
    ear: watch::Receiver<Option<String>>,
    pending: Arc<Pending>,
}

/// Questions that are not answered yet.
#[derive(Default)]
pub struct Pending(Mutex<HashMap<Uuid, oneshot::Sender<SignAnswer>>>);

impl Pending {
    /// Hands an answer to who asked; nobody may be waiting any more.
    pub fn answer(&self, id: Uuid, answer: SignAnswer) {
        if let Some(asker) = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id) {
            let _ = asker.send(answer);
        }
    }

    fn ask(&self, id: Uuid) -> oneshot::Receiver<SignAnswer> {
        let (asker, answer) = oneshot::channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, asker);
        answer
    }

    fn forget(&self, id: Uuid) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

impl Coordinators {
    /// Asks through `publisher` and is answered on the queue that `ear` names, by way of `pending`.
    pub fn new(publisher: Publisher, ear: watch::Receiver<Option<String>>, pending: Arc<Pending>) -> Self {
        Self { line: Line { publisher, ear, pending }, issuer: tokio::sync::Mutex::default() }
    }

    /// Makes credentials with the key in use.
    async fn issuer(&self) -> Result<Issuer, CredentialError> {
        let mut known = self.issuer.lock().await;
        if let Some(issuer) = &*known {
            return Ok(issuer.clone());
        }
        let certificates = match self.line.ask(None).await? {
            SignAnswer::Certificates { pem } => Certificates::read(&pem).map_err(KeyError::Chain)?,
            SignAnswer::Refused { detail } => return Err(KeyError::Refused(detail).into()),
            SignAnswer::Signature { .. } => return Err(KeyError::Refused("a signature nobody asked for".into()).into()),
        };
        tracing::info!(key = %certificates.key_id(), "images are signed by the coordinators");
        let key = RemoteKey { certificates, line: self.line.clone(), runtime: Handle::current() };
        let issuer = Issuer::new(Arc::new(key))?;
        *known = Some(issuer.clone());
        Ok(issuer)
    }

    async fn forget(&self) {
        *self.issuer.lock().await = None;
    }
}

impl Line {
    async fn ask(&self, claim: Option<Claim>) -> Result<SignAnswer, KeyError> {
        let began = Instant::now();
        let mut last = "no answer came".to_owned();
        while began.elapsed() < PATIENCE {
            let Some(reply_to) = self.ear.borrow().clone() else {
                "there is no connection to hear the answer from".clone_into(&mut last);
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let request = SignRequest { id: Uuid::now_v7(), reply_to, claim: claim.clone() };
            let answer = self.pending.ask(request.id);
            // Safe because the message holds no map.
            let payload = serde_json::to_vec(&request).expect("a broker message has a JSON form");
            if let Err(error) = self.publisher.publish(Message::sign_request(payload)).await {
                self.pending.forget(request.id);
                last = error.to_string();
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            match tokio::time::timeout(ANSWER, answer).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(_)) | Err(_) => {
                    self.pending.forget(request.id);
                    tracing::warn!("no coordinator has answered a request for a signature; asking again");
                }
            }
        }
        Err(KeyError::Refused(format!("the coordinators were asked for {} s: {last}", PATIENCE.as_secs())))
    }
}

/// The coordinators' key, seen from here.
struct RemoteKey {
    certificates: Certificates,
    line: Line,
    runtime: Handle,
}

impl Sign for RemoteKey {
    fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Blocks until the answer: call it where blocking is allowed.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let claim = Claim { key_id: self.certificates.key_id(), message: STANDARD.encode(message) };
        match self.runtime.block_on(self.line.ask(Some(claim)))? {
            SignAnswer::Certificates { .. } => Err(KeyError::Rotated),
            SignAnswer::Refused { detail } => Err(KeyError::Refused(detail)),
            SignAnswer::Signature { signature } => {
                let signature = STANDARD.decode(signature).map_err(|error| KeyError::Refused(error.to_string()))?;
                if self.certificates.verifies(message, &signature) {
                    return Ok(signature);
                }
                Err(KeyError::Refused("what came is no signature by the certificate's key".to_owned()))
            }
        }
    }
}
