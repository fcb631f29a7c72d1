//! The parts of the kit against the real services: they give what they say and leave nothing behind.
#![expect(clippy::unwrap_used, reason = "a failure in a helper of a test is a failure of the test")]

use std::time::Duration;

use lapin::options::{BasicPublishOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use testkit::{Fault, FaultProxy, Stack, TestBroker, TestDatabase, TestVhost, wait_until};

async fn databases() -> Vec<String> {
    let pool = sqlx::PgPool::connect(&Stack::find().unwrap().database_url).await.unwrap();
    sqlx::query_scalar("SELECT datname::text FROM pg_database").fetch_all(&pool).await.unwrap()
}

#[tokio::test]
async fn a_database_is_fresh_and_goes_with_its_test() {
    let (first, second) = tokio::join!(TestDatabase::create(), TestDatabase::create());
    let (first, second) = (first.unwrap(), second.unwrap());
    let pool = first.pool().await.unwrap();
    sqlx::raw_sql("CREATE TABLE only_here (a int)").execute(&pool).await.unwrap();
    let there: Option<String> = sqlx::query_scalar("SELECT to_regclass('only_here')::text")
        .fetch_one(&second.pool().await.unwrap())
        .await
        .unwrap();
    assert_eq!(there, None, "two tests share a database");
    assert!(databases().await.contains(&first.name().to_owned()));

    // The pool is still open: a database in use must go too.
    let name = first.name().to_owned();
    drop(first);
    assert!(!databases().await.contains(&name));
    assert!(sqlx::query("SELECT 1").execute(&pool).await.is_err());
}

#[tokio::test]
async fn the_url_of_a_database_is_complete() {
    let database = TestDatabase::create_empty().await.unwrap();
    let pool = sqlx::PgPool::connect(database.url()).await.unwrap();
    let name: String = sqlx::query_scalar("SELECT current_database()::text").fetch_one(&pool).await.unwrap();
    assert_eq!(name, database.name());
}

async fn declare(connection: &Connection, queue: &str) -> lapin::Channel {
    let channel = connection.create_channel().await.unwrap();
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), lapin::types::AMQPValue::LongString("quorum".into()));
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(queue.into(), options, arguments).await.unwrap();
    channel.confirm_select(lapin::options::ConfirmSelectOptions::default()).await.unwrap();
    channel
}

async fn publish(channel: &lapin::Channel, queue: &str) {
    let properties = BasicProperties::default().with_delivery_mode(2);
    channel
        .basic_publish("".into(), queue.into(), BasicPublishOptions::default(), b"hello", properties)
        .await
        .unwrap()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_vhost_takes_messages_and_can_be_wiped() {
    let vhost = TestVhost::create().await.unwrap();
    let connection = Connection::connect(vhost.url(), ConnectionProperties::default()).await.unwrap();
    let channel = declare(&connection, "work").await;
    publish(&channel, "work").await;
    assert_eq!(vhost.depth("work").await.unwrap(), 1);
    assert_eq!(vhost.queues().await.unwrap(), ["work"]);

    vhost.wipe().await.unwrap();
    assert_eq!(vhost.queues().await.unwrap(), Vec::<String>::new());
    let connection = Connection::connect(vhost.url(), ConnectionProperties::default()).await.unwrap();
    declare(&connection, "work").await;

    let url = vhost.url().to_owned();
    drop(vhost);
    assert!(Connection::connect(&url, ConnectionProperties::default()).await.is_err());
}

#[tokio::test]
async fn a_broker_of_ones_own_keeps_messages_over_stop_and_kill() {
    let broker = TestBroker::start().await.unwrap();
    let connection = Connection::connect(broker.url(), ConnectionProperties::default()).await.unwrap();
    publish(&declare(&connection, "work").await, "work").await;
    // A quorum queue elects its leader after the node is up, and knows its messages only then.
    let back = async || broker.depth("work").await.ok().filter(|depth| *depth > 0);

    broker.stop().await.unwrap();
    assert!(Connection::connect(broker.url(), ConnectionProperties::default()).await.is_err());
    broker.start_again().await.unwrap();
    assert_eq!(wait_until("the queue is back after a stop", Duration::from_secs(30), back).await, 1);

    broker.kill().await.unwrap();
    assert!(Connection::connect(broker.url(), ConnectionProperties::default()).await.is_err());
    broker.start_again().await.unwrap();
    assert_eq!(wait_until("the queue is back after a kill", Duration::from_secs(30), back).await, 1);

    let vhost = TestVhost::create_on(broker.url(), broker.api()).await.unwrap();
    assert_ne!(vhost.url(), broker.url());
    assert_eq!(vhost.queues().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_proxy_cuts_holds_and_delays() {
    let database = TestDatabase::create_empty().await.unwrap();
    let (proxy, url) = FaultProxy::before(database.url()).await.unwrap();
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(5))
        .connect(&url)
        .await
        .unwrap();
    let ask = async || sqlx::query("SELECT 1").execute(&pool).await;
    ask().await.unwrap();

    proxy.set(Fault::Delay(Duration::from_millis(100)));
    let began = std::time::Instant::now();
    ask().await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(200), "100 ms each way, but {:?}", began.elapsed());

    proxy.set(Fault::Blackhole);
    let mut held = Box::pin(ask());
    assert!(tokio::time::timeout(Duration::from_millis(500), &mut held).await.is_err(), "bytes pass a black hole");
    proxy.set(Fault::None);
    held.await.unwrap();

    proxy.set(Fault::Cut);
    assert!(ask().await.is_err());
    proxy.set(Fault::None);
    wait_until("the pool has connected again", Duration::from_secs(10), async || ask().await.ok()).await;
}

#[tokio::test]
async fn a_proxy_answers_truncates_and_leaves_the_old_ones_dead() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = FaultProxy::start(server.local_addr().unwrap().to_string()).await.unwrap();
    // says back whatever it is told
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = server.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = socket.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    let open = async || TcpStream::connect(proxy.address()).await.unwrap();
    let echo = async |socket: &mut TcpStream, length: usize| {
        socket.write_all(b"hello").await.unwrap();
        let mut said = vec![0; length];
        let heard = tokio::time::timeout(Duration::from_millis(500), socket.read_exact(&mut said)).await;
        heard.ok()?.ok().map(|_| String::from_utf8(said).unwrap())
    };
    let mut old = open().await;
    assert_eq!(echo(&mut old, 5).await.as_deref(), Some("hello"));
    proxy.set(Fault::Garble);
    assert_eq!(echo(&mut old, 5).await.as_deref(), Some("helln"));
    proxy.set(Fault::HalfOpen);
    assert_eq!(echo(&mut old, 5).await, None);
    let mut new = open().await;
    assert_eq!(echo(&mut new, 5).await.as_deref(), Some("hello"));
    proxy.set(Fault::Truncate(3));
    assert_eq!(echo(&mut new, 3).await.as_deref(), Some("hel"));
    assert_eq!(new.read(&mut [0; 8]).await.unwrap(), 0, "and nothing after it");
    proxy.set(Fault::None);
    assert_eq!(echo(&mut old, 5).await, None, "an old one stays dead");
    proxy.set(Fault::Answer("no"));
    let mut refused = open().await;
    assert_eq!(echo(&mut refused, 2).await.as_deref(), Some("no"));
}
