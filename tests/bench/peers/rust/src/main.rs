//! The peers that are Rust libraries: `peer awa|apalis-postgres|apalis-amqp setup|enqueue COUNT|work`. What a task does, and the
//! settings in the environment, are those of `tests/bench/peers/effects.py`, in the same words.

mod apalis_amqp_peer;
mod apalis_postgres_peer;
mod awa_peer;
mod effects;

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["awa", "setup"] => awa_peer::setup().await,
        ["awa", "enqueue", count] => awa_peer::enqueue(count.parse()?).await,
        ["awa", "work"] => awa_peer::work().await,
        ["apalis-postgres", "setup"] => apalis_postgres_peer::setup().await,
        ["apalis-postgres", "enqueue", count] => apalis_postgres_peer::enqueue(count.parse()?).await,
        ["apalis-postgres", "work"] => apalis_postgres_peer::work().await,
        // its producers and consumers declare the queue
        ["apalis-amqp", "setup"] => Ok(()),
        ["apalis-amqp", "enqueue", count] => apalis_amqp_peer::enqueue(count.parse()?).await,
        ["apalis-amqp", "work"] => apalis_amqp_peer::work().await,
        _ => Err("usage: peer awa|apalis-postgres|apalis-amqp setup|enqueue COUNT|work".into()),
    }
}
