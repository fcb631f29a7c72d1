//! What the tests of this crate share.

use broker::{Message, PublishError, Publisher};
use std::time::Duration;

/// Publishes, again if it is refused: the queue of a vhost that was just made may have no leader yet.
pub async fn published(publisher: &Publisher, message: Message) -> Result<(), PublishError> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        match publisher.publish(message.clone()).await {
            Err(PublishError::Refused { .. }) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            answer => return answer,
        }
    }
}
