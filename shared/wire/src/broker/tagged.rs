//! Reading internally tagged messages without copying what they hold.
//!
//! serde reads an internally tagged enum into a tree first, because the tag may come last, and so does every enum inside it. Our
//! writers put the tag first: the variant that is large and frequent is then read straight from the text. That also is what lets
//! a record keep its very bytes (`domain::record::WrittenRecord`). Every other message, and a tag that comes later, goes through
//! a tree.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;
use std::marker::PhantomData;

/// An internally tagged enum with one variant that is worth reading directly.
pub(super) trait Tagged<'de>: Sized {
    /// The key of the tag.
    const TAG: &'static str;
    /// The tag of that variant.
    const DIRECT: &'static str;

    /// The variant, from its fields.
    fn direct<D: Deserializer<'de>>(fields: D) -> Result<Self, D::Error>;

    /// Any variant, from the whole object: the derived way.
    fn derived(whole: Value) -> Result<Self, serde_json::Error>;
}

/// Reads either way.
pub(super) fn read<'de, T: Tagged<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_map(Reader(PhantomData))
}

/// Serialises a [`Tagged`] enum with `#[serde(remote = "Self")]` the derived way, and reads it by [`read`].
macro_rules! read_by_tag {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Self::serialize(self, serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::broker::tagged::read(deserializer)
            }
        }
    };
}
pub(super) use read_by_tag;

struct Reader<T>(PhantomData<T>);

impl<'de, T: Tagged<'de>> Visitor<'de> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with a '{}'", T::TAG)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<T, A::Error> {
        let mut whole = Map::new();
        if let Some((key, value)) = fields.next_entry::<String, Value>()? {
            if key == T::TAG && value == T::DIRECT {
                return T::direct(MapAccessDeserializer::new(fields));
            }
            whole.insert(key, value);
        }
        while let Some((key, value)) = fields.next_entry()? {
            whole.insert(key, value);
        }
        let direct = whole.get(T::TAG).is_some_and(|tag| tag == T::DIRECT);
        let whole = Value::Object(whole);
        if direct { T::direct(whole) } else { T::derived(whole) }.map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use crate::broker::v1::{DeviceMemory, FromWorker, Outcome};
    use serde_json::{Value, json};

    fn outcomes(outcome: &str) -> String {
        format!(
            r#"{{"message":"outcomes","boot":"boot_00000000000000000000000000000001","batch":"bat_00000000000000000000000000000002",
                "items":[{{"fence":{{"task":"4-2","epoch":3}},"gpu_ms":1.5,"outcome":{outcome},"later":true}}],"later":{{}}}}"#
        )
    }

    #[test]
    fn a_message_reads_the_same_whatever_the_order_of_its_keys() {
        let stored = r#"{"kind":"stored","key":"KEY","artifact":"KEY"}"#.replace("KEY", &"ab".repeat(32));
        let failed = r#"{"detail":"d","reason":"internal","kind":"failed"}"#;
        for outcome in [stored.as_str(), failed] {
            let text = outcomes(outcome);
            let direct: FromWorker = serde_json::from_str(&text).unwrap();
            // a tree has its keys sorted: the tag comes last but one
            let tree: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::from_value::<FromWorker>(tree.clone()).unwrap(), direct);
            assert_eq!(serde_json::from_str::<FromWorker>(&tree.to_string()).unwrap(), direct);
            let again = serde_json::to_string(&direct).unwrap();
            assert!(again.starts_with(r#"{"message":"outcomes","#), "the tag is written first: {again}");
            assert_eq!(serde_json::from_str::<FromWorker>(&again).unwrap(), direct);
        }
    }

    #[test]
    fn a_heartbeat_of_a_version_that_tells_less_is_read() {
        let text = r#"{"message":"heartbeat","boot":"boot_00000000000000000000000000000001","name":"host/1","class":"cpu","device":"cpu",
            "version":"0.1.0","draining":false,"running":[{"task":"4-2","epoch":3,"done":0.5}],"images":1,"busy_ms":2}"#;
        let FromWorker::Heartbeat(mut heartbeat) = serde_json::from_str(text).unwrap() else {
            panic!("another message")
        };
        assert_eq!((heartbeat.memory_bytes, heartbeat.device_memory), (None, None));
        heartbeat.device_memory = Some(DeviceMemory { used_bytes: 3, total_bytes: 8 });
        let newer = serde_json::to_string(&FromWorker::Heartbeat(heartbeat.clone())).unwrap();
        assert_eq!(serde_json::from_str::<FromWorker>(&newer).unwrap(), FromWorker::Heartbeat(heartbeat));
    }

    #[test]
    fn what_is_none_of_the_variants_is_refused_with_its_name() {
        let refused = |text: &str| serde_json::from_str::<FromWorker>(text).unwrap_err().to_string();
        assert!(refused(r#"{"message":"sing"}"#).contains("sing"));
        assert!(refused("{}").contains("message"));
        assert!(refused("[]").contains("message"));
        assert!(refused(r#"{"message":"outcomes","boot":7}"#).contains("integer `7`"));
        let outcome = serde_json::from_value::<Outcome>(json!({ "kind": "edited" })).unwrap_err().to_string();
        assert!(outcome.contains("missing field"), "{outcome}");
    }
}
