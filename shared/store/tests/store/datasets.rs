//! Datasets and packs: dense ordinals, duplicates named, names that keep their content.

use crate::world::{World, source};
use domain::Digest;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{PackAdded, PackRow, SourceRow};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_additions_give_dense_ordinals_and_name_duplicates() {
    let world = Arc::new(World::new().await);
    let dataset = world.store.create_dataset(world.project, "big", None).await.unwrap().unwrap();
    let adders: Vec<_> = (0..6)
        .map(|i| {
            let (world, id) = (world.clone(), dataset.id);
            // each overlaps its neighbour by half
            tokio::spawn(async move {
                let rows: Vec<_> = (i * 50..i * 50 + 100).map(source).collect();
                world.store.add_sources(id, &rows).await.unwrap()
            })
        })
        .collect();
    let (mut added, mut duplicates) = (0, 0);
    for adder in adders {
        let outcome = adder.await.unwrap();
        assert!(outcome.duplicates.iter().all(|d| d.uri == d.same_as));
        added += outcome.added;
        duplicates += outcome.duplicates.len();
    }
    assert_eq!((added, duplicates), (350, 250));
    let mut all = world.store.sources(dataset.id, None, 200).await.unwrap();
    let rest = world.store.sources(dataset.id, all.last().map(|s| s.ordinal), 200).await.unwrap();
    all.extend(rest);
    let ordinals: Vec<i64> = all.iter().map(|s| s.ordinal).collect();
    assert_eq!(ordinals, (0..350).collect::<Vec<_>>());
    assert_eq!(world.store.dataset(world.project, "big").await.unwrap().unwrap().sources, 350);
}

#[tokio::test]
async fn the_same_bytes_twice_in_one_call_are_one_source() {
    let world = World::new().await;
    let dataset = world.store.create_dataset(world.project, "twins", None).await.unwrap().unwrap();
    let twin = SourceRow { uri: "copy.png".to_owned(), ..source(1) };
    let added = world.store.add_sources(dataset.id, &[source(1), twin.clone(), source(2)]).await.unwrap();
    assert_eq!(added.added, 2);
    assert_eq!((added.duplicates[0].uri.as_str(), added.duplicates[0].same_as.as_str()), ("copy.png", "faces/001.png"));
    let again = world.store.add_sources(dataset.id, &[twin]).await.unwrap();
    assert_eq!((again.added, again.duplicates.len()), (0, 1));
    assert!(world.store.create_dataset(world.project, "twins", None).await.unwrap().is_none());
}

fn masked(ordinal: i64, masks: &[(&str, &str)]) -> SourceRow {
    let masks = masks.iter().map(|(name, bytes)| ((*name).to_owned(), Digest::of(bytes))).collect();
    SourceRow { masks, ..source(ordinal) }
}

#[tokio::test]
async fn masks_come_with_their_source_or_later_and_are_never_replaced() {
    let world = World::new().await;
    let dataset = world.store.create_dataset(world.project, "masked", None).await.unwrap().unwrap();
    let first = [source(0), masked(1, &[("hair", "a"), ("skin", "b")]), masked(2, &[("hair", "a")])];
    let added = world.store.add_sources(dataset.id, &first).await.unwrap();
    assert_eq!((added.added, added.masks, added.mask_conflicts.len()), (3, 3, 0));
    // sources that are there already get what they lack, and keep what they have
    let again = [masked(0, &[("hair", "c")]), masked(1, &[("hair", "other")]), masked(2, &[("hair", "a")])];
    let added = world.store.add_sources(dataset.id, &again).await.unwrap();
    assert_eq!((added.added, added.masks, added.duplicates.len()), (0, 1, 3));
    let [conflict] = added.mask_conflicts.as_slice() else { panic!("{added:?}") };
    assert_eq!((conflict.uri.as_str(), conflict.name.as_str()), ("faces/001.png", "hair"));
    assert_eq!(conflict.kept, Digest::of("a"));
    let dataset = world.store.dataset(world.project, "masked").await.unwrap().unwrap();
    assert_eq!(dataset.masks, BTreeMap::from([("hair".to_owned(), 3), ("skin".to_owned(), 1)]));
    assert_eq!(world.number("SELECT count(*) FROM source_masks").await, 4);
    let sources = world.store.sources(dataset.id, None, 10).await.unwrap();
    let hair: Vec<_> = sources.iter().map(|s| s.masks["hair"]).collect();
    assert_eq!(hair, ["c", "a", "a"].map(Digest::of));
    assert_eq!(sources[1].masks["skin"], Digest::of("b"));
}

#[tokio::test]
async fn an_import_goes_on_from_its_cursor_by_one_coordinator_only() {
    let world = World::new().await;
    let dataset = world.store.create_dataset(world.project, "far", Some("s3://bucket/far/")).await.unwrap().unwrap();
    let store = &world.store;
    assert_eq!(store.importing().await.unwrap()[0].cursor, None);
    let error = ["b.txt is no image".to_owned()];
    assert!(store.import_progress(dataset.id, None, Some("c"), &error, false).await.unwrap());
    assert!(!store.import_progress(dataset.id, None, Some("x"), &[], false).await.unwrap(), "another one is further");
    assert_eq!(store.importing().await.unwrap()[0].cursor.as_deref(), Some("c"));
    assert!(store.import_progress(dataset.id, Some("c"), None, &[], true).await.unwrap());
    assert_eq!(store.importing().await.unwrap(), []);
    assert_eq!(store.dataset(world.project, "far").await.unwrap().unwrap().import_errors, error);
}

#[tokio::test]
async fn a_packs_name_keeps_its_content() {
    let world = World::new().await;
    let pack = world.store.pack("faces").await.unwrap().unwrap();
    assert_eq!(world.store.add_pack(&pack).await.unwrap(), PackAdded::Same);
    let other = PackRow { digest: Digest::of("other"), ..pack.clone() };
    assert_eq!(world.store.add_pack(&other).await.unwrap(), PackAdded::Conflict { existing: pack.digest });
    assert_eq!(world.store.packs().await.unwrap(), [pack]);
}

#[tokio::test]
async fn the_schema_is_known_and_an_empty_database_is_not() {
    let world = World::new().await;
    world.store.check().await.unwrap();
    world.store.migrate().await.unwrap();
    let empty = testkit::TestDatabase::create_empty().await.unwrap();
    let config = store::StoreConfig { url: empty.url().to_owned(), max_connections: 2 };
    let bare = store::Store::connect(&config).await.unwrap();
    assert!(matches!(bare.check().await, Err(store::StoreError::SchemaBehind { .. })));
    bare.migrate().await.unwrap();
    bare.check().await.unwrap();
    bare.close().await;
}

fn with_face(ordinal: i64, x: f64) -> SourceRow {
    let points = vec![[x, 1.5], [20.0, 0.1], [15.0, 8.25], [11.0, 15.0], [19.0, 15.0]];
    SourceRow { landmarks: Some(domain::Landmarks::new(points).unwrap()), ..source(ordinal) }
}

#[tokio::test]
async fn landmarks_come_with_their_source_or_later_and_are_never_replaced() {
    let world = World::new().await;
    let dataset = world.store.create_dataset(world.project, "photographs", None).await.unwrap().unwrap();
    let added = world.store.add_sources(dataset.id, &[source(0), with_face(1, 10.3), source(2)]).await.unwrap();
    assert_eq!((added.added, added.landmarks, added.landmark_conflicts.len()), (3, 1, 0));
    let again = [with_face(0, 9.7), with_face(1, 11.0), source(2)];
    let added = world.store.add_sources(dataset.id, &again).await.unwrap();
    assert_eq!((added.added, added.landmarks), (0, 1));
    assert_eq!(added.landmark_conflicts, ["faces/001.png"]);
    // the same once more are no conflict, whatever their digits
    let added = world.store.add_sources(dataset.id, &[with_face(0, 9.7), with_face(1, 10.3)]).await.unwrap();
    assert_eq!((added.landmarks, added.landmark_conflicts.len()), (0, 0));
    let sources = world.store.sources(dataset.id, None, 10).await.unwrap();
    let held: Vec<_> = sources.into_iter().map(|s| s.landmarks).collect();
    assert_eq!(held, [with_face(0, 9.7).landmarks, with_face(1, 10.3).landmarks, None]);
    assert_eq!(world.store.dataset(world.project, "photographs").await.unwrap().unwrap().landmarks, 2);
}
