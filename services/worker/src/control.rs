//! Hears what the coordinator says to every worker, and marks what is held.

use crate::drain::Drain;
use crate::held::Held;
use crate::signing::Pending;
use broker::ControlListener;
use domain::ids::BootId;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use wire::broker::v1::Control;

/// Listens for as long as the process lives.
pub async fn listen(
    mut listener: ControlListener,
    boot: BootId,
    held: Arc<Held>,
    signatures: Arc<Pending>,
    drain: Drain,
    grace: Duration,
) {
    loop {
        match listener.next().await {
            Control::Signed { id, answer } => signatures.answer(id, answer),
            other => heed(other, boot, &held, &drain, grace),
        }
    }
}

fn heed(message: Control, boot: BootId, held: &Held, drain: &Drain, grace: Duration) {
    match message {
        Control::Revoke { boot: to, tasks } if to.is_none_or(|to| to == boot) => {
            let void: HashSet<_> = tasks.into_iter().collect();
            let dropped = held.cancel(|fence| void.contains(fence));
            if dropped > 0 {
                tracing::info!(tasks = dropped, "dropping tasks whose hand-out is void");
            }
        }
        Control::CancelJob { job } => {
            let dropped = held.cancel(|fence| fence.task.job == job);
            if dropped > 0 {
                tracing::info!(job, tasks = dropped, "dropping tasks of a cancelled job");
            }
        }
        Control::Drain { boot: to } if to.is_none_or(|to| to == boot) => {
            tracing::info!("the coordinator asks for a drain");
            drain.begin(grace);
        }
        Control::Revoke { .. } | Control::Drain { .. } | Control::Probe | Control::Signed { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::held::tests::batch;
    use domain::ids::TaskId;
    use uuid::Uuid;
    use wire::broker::v1::Fence;

    #[tokio::test]
    async fn only_the_very_hand_out_is_dropped_and_only_here() {
        let (held, drain) = (Arc::new(Held::default()), Drain::default());
        let (me, other) = (BootId::from_uuid(Uuid::from_u128(1)), BootId::from_uuid(Uuid::from_u128(2)));
        let holding = held.enter(&batch(1, 7, 3)).unwrap();
        let fence = |no, epoch| Fence { task: TaskId { job: 7, no }, epoch };
        let hear = |message| heed(message, me, &held, &drain, Duration::from_secs(60));
        hear(Control::Revoke { boot: Some(other), tasks: vec![fence(0, 3)] });
        hear(Control::Revoke { boot: Some(me), tasks: vec![fence(1, 2), fence(2, 3)] });
        let dropped: Vec<_> = holding.tasks.iter().map(|t| t.is_cancelled()).collect();
        assert_eq!(dropped, [false, false, true]);
        hear(Control::CancelJob { job: 7 });
        assert!(holding.tasks.iter().all(|t| t.is_cancelled()));
        hear(Control::Drain { boot: Some(other) });
        assert!(!drain.is_begun());
        hear(Control::Drain { boot: None });
        assert!(drain.is_begun() && !drain.is_over());
    }
}
