//! What changes, told to all who look: one poller a topic however many tabs watch it, each change rendered once.
//!
//! A topic is polled only while somebody is subscribed. Subscribers share a `watch` channel, which keeps the latest state alone: a slow
//! reader skips to it (a broadcast would queue states that nobody wants to see any more), and a new one has it at once. Every state's
//! id is the digest of its text, so `Last-Event-ID` means the same to every coordinator, and after a restart.
//!
//! **After a crash** streams break, and their readers come back by themselves.

use crate::access::{May, Reach};
use crate::app::App;
use crate::dashboard::fragments;
use crate::http::job_events;
use crate::http::problem::ApiError;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use domain::{Digest, JobId, ProjectId};
use futures_util::{Stream, StreamExt as _, stream};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Something silent that long is taken for dead by proxies.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Pause between two looks at something that moves: two updates a second at most.
const BRISK: Duration = Duration::from_millis(500);
/// Pause between two looks at something that rarely changes.
const CALM: Duration = Duration::from_secs(2);

/// After that long a stream ends, and its reader comes back: who may read is looked at when a stream begins, and a key that is taken
/// back must not be good for ever.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// What can be watched.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Topic {
    /// A job as the HTTP interface tells it.
    Job(ProjectId, JobId),
    /// The part of a job's page that moves, for who may do this.
    JobPage(ProjectId, JobId, May),
    /// The table of the newest jobs, whole.
    JobTable(ProjectId),
    /// The rows of the newest jobs, each to replace the one that is shown.
    JobRows(ProjectId),
    /// The table of workers, for who may see tasks of these projects and do this.
    Workers(Reach, May),
}

/// A state of a topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Digest of the text.
    id: Arc<str>,
    text: Arc<str>,
    /// Nothing follows.
    last: bool,
}

/// What a look at a topic gave.
pub struct Look {
    /// JSON, or a fragment of a page.
    pub text: String,
    /// Whether it moves.
    pub moving: bool,
    /// Whether a stream of it ends here.
    pub last: bool,
}

impl Look {
    /// The state that is told.
    pub fn frame(self) -> Frame {
        // line ends inside of an event are `\n`
        let text = self.text.replace('\r', " ");
        let id = Digest::of(text.as_bytes()).to_string()[..16].into();
        Frame { id, text: text.into(), last: self.last }
    }
}

impl Frame {
    /// Whether this is the last state, and the reader who sent `headers` has seen it.
    pub fn is_over_for(&self, headers: &HeaderMap) -> bool {
        self.last && last_event_id(headers).as_deref() == Some(&self.id)
    }
}

/// The topics that are watched.
#[derive(Default)]
pub struct Live {
    topics: Mutex<HashMap<Topic, watch::Sender<Option<Frame>>>>,
    stop: CancellationToken,
}

impl Live {
    /// The topic's states from now on.
    pub fn subscribe(&self, app: &App, topic: Topic) -> watch::Receiver<Option<Frame>> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = topics.get(&topic) {
            return sender.subscribe();
        }
        let (sender, receiver) = watch::channel(None);
        if !self.stop.is_cancelled() {
            topics.insert(topic.clone(), sender.clone());
            tokio::spawn(poll(app.clone(), topic, sender));
        }
        receiver
    }

    /// Ends every stream: the process is about to.
    pub fn close(&self) {
        self.stop.cancel();
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Forgets the topic if nobody watches it any more. Under the lock that subscribing takes, so nobody subscribes to it meanwhile.
    fn forget(&self, topic: &Topic, sender: &watch::Sender<Option<Frame>>) -> bool {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = sender.receiver_count() == 0;
        if idle {
            topics.remove(topic);
        }
        idle
    }
}

async fn poll(app: App, topic: Topic, sender: watch::Sender<Option<Frame>>) {
    let live = Arc::clone(&app.live);
    loop {
        let pause = match look(&app, &topic).await {
            Ok(look) => {
                let pause = if look.moving { BRISK } else { CALM };
                let frame = Some(look.frame());
                sender.send_if_modified(|now| {
                    let changed = *now != frame;
                    if changed {
                        *now = frame;
                    }
                    changed
                });
                pause
            }
            Err(error) => {
                tracing::debug!(?topic, %error, "a look at what is watched failed; the next one may not");
                CALM
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = live.stop.cancelled() => return,
        }
        if live.forget(&topic, &sender) {
            return;
        }
    }
}

async fn look(app: &App, topic: &Topic) -> Result<Look, ApiError> {
    match topic {
        Topic::Job(project, job) => job_events::look(app, *project, *job).await,
        Topic::JobPage(project, job, may) => fragments::job(app, *project, *job, *may).await,
        Topic::JobTable(project) => fragments::jobs(app, *project, false).await,
        Topic::JobRows(project) => fragments::jobs(app, *project, true).await,
        Topic::Workers(reach, may) => fragments::workers(app, reach, *may).await,
    }
}

fn last_event_id(headers: &HeaderMap) -> Option<String> {
    headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned)
}

/// The topic as server-sent events, `named` if not empty. A reader that comes back with the id of the state as it is hears of the next.
pub fn answer(app: &App, topic: Topic, named: &'static str, headers: &HeaderMap) -> Response {
    let states = states(app.live.subscribe(app, topic), named, last_event_id(headers));
    let states = states.take_until(tokio::time::sleep(LONGEST));
    // proxies that gather answers would hold events back
    let unbuffered = [(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"))];
    let events = Sse::new(states).keep_alive(KeepAlive::new().interval(HEARTBEAT));
    (unbuffered, events).into_response()
}

struct Reader {
    states: watch::Receiver<Option<Frame>>,
    seen: Option<Arc<str>>,
    ended: bool,
}

fn states(
    states: watch::Receiver<Option<Frame>>,
    named: &'static str,
    seen: Option<String>,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let reader = Reader { states, seen: seen.map(Arc::from), ended: false };
    stream::unfold(reader, move |mut reader| async move {
        if reader.ended {
            return None;
        }
        loop {
            let frame = reader.states.borrow_and_update().clone();
            if let Some(frame) = frame {
                if reader.seen.as_ref() != Some(&frame.id) {
                    let event = Event::default().id(&*frame.id).data(&*frame.text);
                    let event = if named.is_empty() { event } else { event.event(named) };
                    reader.seen = Some(frame.id);
                    return Some((Ok(event), reader));
                }
                if frame.last {
                    reader.ended = true;
                    return Some((Ok(Event::default().event("end").data("")), reader));
                }
            }
            reader.states.changed().await.ok()?;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str, last: bool) -> Frame {
        Look { text: text.to_owned(), moving: true, last }.frame()
    }

    async fn told(stream: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Vec<String> {
        let answer = Sse::new(stream).into_response();
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        text.split("\n\n").filter(|event| !event.is_empty()).map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn a_slow_reader_skips_to_the_latest_state_and_is_told_the_end() {
        let (sender, receiver) = watch::channel(Some(frame("one", false)));
        let mut stream = Box::pin(states(receiver, "", None));
        assert!(stream.next().await.is_some());
        sender.send_replace(Some(frame("two", false)));
        sender.send_replace(Some(frame("three\r\nlines", true)));
        let rest = told(stream).await;
        assert_eq!(rest.len(), 2, "{rest:?}");
        assert!(rest[0].contains("data: three \ndata: lines"), "{rest:?}");
        assert!(rest[1].contains("event: end"), "{rest:?}");
    }

    #[tokio::test]
    async fn who_comes_back_hears_nothing_twice() {
        let now = frame("now", true);
        let (_sender, receiver) = watch::channel(Some(now.clone()));
        let rest = told(states(receiver, "job", Some(now.id.to_string()))).await;
        assert_eq!(rest.len(), 1, "{rest:?}");
        let mut headers = HeaderMap::new();
        assert!(!now.is_over_for(&headers));
        headers.insert("last-event-id", now.id.parse().unwrap());
        assert!(now.is_over_for(&headers));
    }
}
