//! API keys and sessions: what holds, until when, and what ends with what.

use crate::world::World;
use domain::{ApiKeyId, Digest, Scope};
use std::time::Duration;
use store::NewApiKey;
use uuid::Uuid;

fn new_key(name: &str, secret: &str) -> NewApiKey {
    NewApiKey {
        id: ApiKeyId::from_uuid(Uuid::now_v7()),
        name: name.to_owned(),
        scope: Scope::Submit,
        project: None,
        secret_sha256: Digest::of(secret),
        created_by: "test".to_owned(),
        expires_at: None,
    }
}

/// Digests of the secrets that still hold, newest first.
async fn holding(world: &World, id: ApiKeyId) -> Vec<Digest> {
    let proof = world.store.key_to_prove(id).await.unwrap().unwrap();
    proof.secrets.into_iter().filter(|(_, over)| !over).map(|(digest, _)| digest).collect()
}

#[tokio::test]
async fn one_of_many_coordinators_that_start_together_makes_the_first_key() {
    let world = World::new().await;
    assert!(!world.store.has_api_keys().await.unwrap());
    let makers = (0..8).map(|n| {
        let store = world.store.clone();
        tokio::spawn(async move { store.create_first_api_key(&new_key("first", &n.to_string())).await.unwrap() })
    });
    let mut made = 0;
    for maker in makers.collect::<Vec<_>>() {
        made += usize::from(maker.await.unwrap());
    }
    assert_eq!((made, world.store.api_keys(None, None, 100).await.unwrap().len()), (1, 1));
}

#[tokio::test]
async fn a_rotation_leaves_the_old_secret_its_overlap_even_if_it_is_repeated() {
    let world = World::new().await;
    let key = new_key("a", "first");
    world.store.create_api_key(&key).await.unwrap();
    let hour = Duration::from_secs(3600);
    for secret in ["second", "third"] {
        assert!(world.store.rotate_api_key(key.id, Digest::of(secret), hour).await.unwrap());
    }
    assert_eq!(holding(&world, key.id).await, ["third", "second", "first"].map(Digest::of));
    assert!(world.store.rotate_api_key(key.id, Digest::of("fourth"), Duration::ZERO).await.unwrap());
    assert_eq!(holding(&world, key.id).await, [Digest::of("fourth")], "without an overlap they end at once");
    assert!(world.store.revoke_api_key(key.id, "test").await.unwrap());
    assert!(!world.store.revoke_api_key(key.id, "test").await.unwrap());
    assert!(!world.store.rotate_api_key(key.id, Digest::of("fifth"), hour).await.unwrap(), "revoked for good");
}

#[tokio::test]
async fn a_key_expires_and_its_use_is_noted_once_a_minute() {
    let world = World::new().await;
    let past = chrono::Utc::now() - chrono::Duration::days(1);
    let (key, old) = (new_key("a", "a"), NewApiKey { expires_at: Some(past), ..new_key("b", "b") });
    for new in [&key, &old] {
        world.store.create_api_key(new).await.unwrap();
    }
    assert!(!world.store.api_key(old.id).await.unwrap().unwrap().holds());
    assert!(world.store.key_to_prove(key.id).await.unwrap().unwrap().use_unnoted);
    world.store.note_key_use(key.id).await.unwrap();
    let noted = world.store.key_to_prove(key.id).await.unwrap().unwrap();
    assert!(noted.key.holds() && !noted.use_unnoted && noted.key.last_used_at.is_some());
    world.store.note_key_use(key.id).await.unwrap();
    assert_eq!(world.store.api_key(key.id).await.unwrap().unwrap(), noted.key);
}

#[tokio::test]
async fn keys_of_one_project_are_listed_apart_and_page_by_page() {
    let world = World::new().await;
    let name = world.store.project_by_id(world.project).await.unwrap().name;
    for n in 0..4 {
        let project = (n % 2 == 0).then_some(world.project);
        world.store.create_api_key(&NewApiKey { project, ..new_key("k", &n.to_string()) }).await.unwrap();
    }
    let listed = world.store.api_keys(Some(std::slice::from_ref(&name)), None, 10).await.unwrap();
    assert!(listed.len() == 2 && listed.iter().all(|key| key.project.as_deref() == Some(&name)));
    let first = world.store.api_keys(None, None, 3).await.unwrap();
    let rest = world.store.api_keys(None, Some(first[2].id), 3).await.unwrap();
    assert_eq!((first.len(), rest.len()), (3, 1));
}

#[tokio::test]
async fn a_session_ends_by_itself_by_logout_and_with_a_rotation() {
    let world = World::new().await;
    let key = new_key("a", "a");
    world.store.create_api_key(&key).await.unwrap();
    let hour = Duration::from_secs(3600);
    let held = async |session: &str| world.store.session_key(Digest::of(session)).await.unwrap().is_some();
    for (session, lasts) in [("over", Duration::ZERO), ("out", hour), ("rotated", hour)] {
        world.store.begin_session(Digest::of(session), key.id, lasts).await.unwrap();
    }
    assert!(!held("over").await && held("out").await && held("rotated").await && !held("none").await);
    assert_eq!(world.store.ended_sessions(10).await.unwrap(), 1);
    world.store.end_session(Digest::of("out")).await.unwrap();
    assert!(!held("out").await && held("rotated").await);
    world.store.rotate_api_key(key.id, Digest::of("b"), Duration::ZERO).await.unwrap();
    assert!(!held("rotated").await);
}
