//! `POST /ui/workers/{boot}/drain`

use super::ui::{Fragment, noticed};
use super::workers;
use crate::access::Reach;
use crate::app::App;
use crate::http::extract::{Actor, parse};
use crate::http::worker_drain;
use axum::extract::{Path, State};

/// The table of workers, with a notice.
pub async fn handle(State(app): State<App>, actor: Actor, Path(boot): Path<String>) -> Fragment {
    let worker = worker_drain::ask(&app, &actor, parse(&boot)?).await?;
    let text = format!("{} takes no more work, gives back what it holds and ends.", worker.name);
    noticed(&workers::now(&app, &Reach::All, super::may()).await?, "Draining", &text)
}
