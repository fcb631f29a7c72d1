//! A connection whose other end is gone: the network was cut amid a statement, and nobody says so.

use std::time::{Duration, Instant};
use store::{Store, StoreConfig};
use testkit::{Fault, FaultProxy, TestDatabase};

#[tokio::test(flavor = "multi_thread")]
async fn it_takes_no_place_in_the_pool_and_does_not_hold_up_the_end() {
    let database = TestDatabase::create().await.unwrap();
    let (proxy, url) = FaultProxy::before(database.url()).await.unwrap();
    let store = Store::connect(&StoreConfig { url, max_connections: 1 }).await.unwrap();
    let pool = database.pool().await.unwrap();
    let mut holder = pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE workers IN ACCESS EXCLUSIVE MODE").execute(&mut *holder).await.unwrap();

    let asking = tokio::time::timeout(Duration::from_secs(2), store.workers());
    let cut = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        proxy.set(Fault::HalfOpen);
        holder.rollback().await
    };
    let (asked, rolled_back) = tokio::join!(asking, cut);
    rolled_back.unwrap();
    assert!(asked.is_err(), "no answer comes through");
    // the only place is free again, or this would wait for it until it gives up
    let began = Instant::now();
    assert!(store.workers().await.unwrap().is_empty());
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    tokio::time::timeout(Duration::from_secs(9), store.close()).await.unwrap();
}
