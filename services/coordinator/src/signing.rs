//! The key that signs for this installation: configured, or one that an authority of its own vouches for, made on first use and shared
//! by all coordinators through the database. It signs images of workers that hold no key, and the seals of ended jobs.

use crate::app::App;
use crate::archive;
use crate::config;
use crate::error::LoopError;
use crate::sweep::Reconciler;
use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use broker::topology::is_control_queue;
use broker::{Message, PublishError, Verdict};
use chrono::Utc;
use credentials::{Authority, Certificates, KeyError, LocalKey, Sign as _, Signer};
use domain::Digest;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use store::{OwnAuthority, OwnKey, Store};
use tokio_util::sync::CancellationToken;
use wire::broker::v1::{Claim, Control, SignAnswer, SignRequest};

/// Requests in hand at once.
const IN_HAND: u16 = 32;

/// The key in use. Cheap to clone.
#[derive(Clone)]
pub struct Signing {
    current: Arc<RwLock<Signer>>,
    /// Whether it comes from the settings, and so stays for as long as the process lives.
    configured: bool,
}

impl Signing {
    /// The configured key, or the installation's own, which is made if there is none.
    ///
    /// # Errors
    /// When a key cannot be used, or the database fails.
    pub async fn open(store: &Store, configured: Option<Signer>) -> anyhow::Result<Self> {
        if let Some(signer) = configured {
            let certificates = signer.certificates();
            store.note_signing_key(certificates.key_id(), certificates.pem()).await?;
            return Ok(Self { current: Arc::new(RwLock::new(signer)), configured: true });
        }
        let own = match store.own_key().await? {
            Some(own) => own,
            None => {
                let key = issue(store).await?;
                if store.replace_own_key(&key, None).await? {
                    tracing::info!(
                        key = %key.key_id,
                        "a signing key of this installation's own was made; verifiers trust it by the anchor that `cfx keys export` writes"
                    );
                }
                store.own_key().await?.context("the signing key that was just made is gone")?
            }
        };
        Ok(Self { current: Arc::new(RwLock::new(local(&own)?)), configured: false })
    }

    /// The key that signs now.
    pub fn signer(&self) -> Signer {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes over what another coordinator, or an operator, has put in its place. Whether it is another.
    async fn refresh(&self, store: &Store) -> Result<bool, LoopError> {
        if self.configured {
            return Ok(false);
        }
        let Some(own) = store.own_key().await? else { return Ok(false) };
        if own.key_id == self.signer().certificates().key_id() {
            return Ok(false);
        }
        match local(&own) {
            Ok(signer) => {
                tracing::info!(key = %own.key_id, "another key signs from now on");
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = signer;
                Ok(true)
            }
            Err(error) => {
                tracing::error!(key = %own.key_id, %error, "the key in the database cannot be used; the one before goes on signing");
                Ok(false)
            }
        }
    }
}

fn local(own: &OwnKey) -> Result<Signer, KeyError> {
    Ok(Arc::new(LocalKey::new(&own.private_key, &own.certificates)?))
}

/// A new key of the installation's own authority, which is made if there is none.
async fn issue(store: &Store) -> anyhow::Result<OwnKey> {
    let made = Authority::create(Utc::now()).context("no authority can be made")?;
    let made = OwnAuthority { anchor: made.anchor, private_key: made.private_key };
    let OwnAuthority { anchor, private_key } = store.own_authority(&made).await?;
    let issued = Authority { anchor: anchor.clone(), private_key }.issue(Utc::now()).context("no key can be made")?;
    let key_id = Certificates::read(&issued.chain)?.key_id();
    Ok(OwnKey { key_id, certificates: issued.chain, anchor, private_key: issued.private_key })
}

/// Puts a new key of the installation's own in the place of the one that signs now; what that one signed stays valid.
///
/// # Errors
/// When the database fails, or another process did the same meanwhile.
pub async fn rotate(store: &Store) -> anyhow::Result<Certificates> {
    let old = store.own_key().await?.map(|key| key.key_id);
    let key = issue(store).await?;
    anyhow::ensure!(store.replace_own_key(&key, old).await?, "another process has just put a new key in place");
    Ok(Certificates::read(&key.certificates)?)
}

/// The loop that notices new keys, and archives what verifies their signatures.
pub struct NoticeKeys {
    app: App,
    /// Those that this process has archived.
    archived: Mutex<BTreeSet<Digest>>,
}

impl NoticeKeys {
    /// Nothing is archived yet.
    pub fn new(app: App) -> Self {
        Self { app, archived: Mutex::default() }
    }
}

impl Reconciler for NoticeKeys {
    const NAME: &'static str = "notice_keys";

    async fn run_once(&self) -> Result<u64, LoopError> {
        let another = self.app.signing.refresh(&self.app.store).await?;
        for key in self.app.store.signing_keys().await? {
            let known = self.archived.lock().unwrap_or_else(PoisonError::into_inner).contains(&key.key_id);
            if !known {
                archive::key(&self.app.artifacts, &key).await?;
                self.archived.lock().unwrap_or_else(PoisonError::into_inner).insert(key.key_id);
            }
        }
        Ok(u64::from(another))
    }
}

/// Answers workers that ask for signatures, until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let settings = config::broker(&app.config);
    let handler = async |request: SignRequest| handle(&app, request).await;
    broker::consume_sign_requests(settings, IN_HAND, stop, handler).await;
}

async fn handle(app: &App, request: SignRequest) -> Verdict {
    if !is_control_queue(&request.reply_to) {
        tracing::warn!(queue = request.reply_to, "a request for a signature names no worker's queue");
        return Verdict::Ack;
    }
    let (signer, claim) = (app.signing.signer(), request.claim);
    // A command that signs may take its time.
    let answering = tokio::task::spawn_blocking(move || answer(&signer, claim));
    let answer = answering.await.unwrap_or_else(|error| SignAnswer::Refused { detail: error.to_string() });
    let kind = match &answer {
        SignAnswer::Signature { .. } => "signature",
        SignAnswer::Certificates { .. } => "certificates",
        SignAnswer::Refused { detail } => {
            tracing::error!(detail, "a signature was refused");
            "refused"
        }
    };
    metrics::counter!("cfx_signatures_total", "answer" => kind).increment(1);
    // safe because the message holds no map
    let payload =
        serde_json::to_vec(&Control::Signed { id: request.id, answer }).expect("a broker message has a JSON form");
    match app.publisher.publish(Message::to_worker(request.reply_to, payload)).await {
        // who asked is gone, or will ask again
        Ok(()) | Err(PublishError::Unroutable { .. }) => {}
        Err(error) => {
            tracing::warn!(%error, "an answer to a request for a signature is lost; the worker will ask again")
        }
    }
    Verdict::Ack
}

fn answer(signer: &Signer, claim: Option<Claim>) -> SignAnswer {
    let certificates = signer.certificates();
    let Some(Claim { message, .. }) = claim.filter(|claim| claim.key_id == certificates.key_id()) else {
        return SignAnswer::Certificates { pem: certificates.pem_without_anchors() };
    };
    let signed = STANDARD
        .decode(message)
        .map_err(|error| KeyError::Refused(format!("what is to be signed is no base64: {error}")))
        .and_then(|message| signer.sign(&message));
    match signed {
        Ok(signature) => SignAnswer::Signature { signature: STANDARD.encode(signature) },
        Err(error) => SignAnswer::Refused { detail: error.to_string() },
    }
}
