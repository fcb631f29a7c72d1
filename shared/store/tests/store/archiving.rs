//! What the archive still lacks, and rows written again from it.

use crate::world::{World, source};
use domain::Digest;
use store::SourceRow;

fn masked(ordinal: i64, mask: &str) -> SourceRow {
    SourceRow { masks: [("hair".to_owned(), Digest::of(mask))].into(), ..source(ordinal) }
}

#[tokio::test]
async fn masks_that_come_later_are_archived_too_and_an_archiver_that_missed_them_does_not_count() {
    let world = World::new().await;
    let store = &world.store;
    let id = store.create_dataset(world.project, "archived", None).await.unwrap().unwrap().id;
    store.add_sources(id, &(0..4).map(source).collect::<Vec<_>>()).await.unwrap();
    let seen = store.dataset_archive(id).await.unwrap();
    assert_eq!((seen.archived, seen.sources), (0, 4));
    assert!(store.sources_archived(&seen, 4).await.unwrap());
    assert!(store.unarchived_datasets().await.unwrap().iter().all(|d| d.id != id));
    // a mask for the third source: it and what follows are to be archived again
    store.add_sources(id, &[masked(2, "a")]).await.unwrap();
    let seen = store.dataset_archive(id).await.unwrap();
    assert_eq!((seen.archived, seen.sources), (2, 4));
    // and another while somebody writes what he has read
    store.add_sources(id, &[masked(3, "b")]).await.unwrap();
    assert!(!store.sources_archived(&seen, 4).await.unwrap());
    assert_eq!(store.dataset_archive(id).await.unwrap().archived, 2);
}

#[tokio::test]
async fn restored_sources_keep_their_ordinals_and_masks_however_often_and_in_whatever_order() {
    let world = World::new().await;
    let store = &world.store;
    let project = world.project;
    let old = store.create_dataset(project, "old", None).await.unwrap().unwrap().id;
    store.add_sources(old, &[source(0), masked(1, "a"), masked(2, "b")]).await.unwrap();
    let sources = store.sources(old, None, 10).await.unwrap();
    let new = domain::DatasetId::from_uuid(uuid::Uuid::from_u128(9));
    assert!(store.restore_dataset(new, project, "new").await.unwrap());
    assert!(!store.restore_dataset(new, project, "new").await.unwrap());
    // the same name with another id is another dataset: nothing is mixed up
    let other = domain::DatasetId::from_uuid(uuid::Uuid::from_u128(10));
    store.restore_dataset(other, project, "new").await.unwrap_err();
    assert_eq!(store.restore_sources(new, &sources[1..]).await.unwrap(), 2);
    assert_eq!(store.restore_sources(new, &sources).await.unwrap(), 1);
    assert_eq!(store.sources(new, None, 10).await.unwrap(), sources);
    let dataset = store.dataset(project, "new").await.unwrap().unwrap();
    assert_eq!((dataset.sources, dataset.masks["hair"]), (3, 2));
}
