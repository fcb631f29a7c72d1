//! The one registry of ids. Each prints with a prefix that says what it names, and parses strictly.

use crate::schema::text_form;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// A text that is not the id it was taken for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{text}' is not a {kind} id; it looks like {example}")]
pub struct IdError {
    /// What the caller expected, for example "job".
    pub kind: &'static str,
    /// The text that was given.
    pub text: String,
    /// The shape of a right one.
    pub example: &'static str,
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID, as a database column returns it or a generator made it.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID without its prefix.
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(|rest| Uuid::try_parse(rest).ok())
                    .map(Self)
                    // one id has one text: hyphens and capitals, which a UUID may have, are not ours
                    .filter(|id| id.to_string() == text)
                    .ok_or_else(|| IdError {
                        kind: $kind,
                        text: text.to_owned(),
                        example: concat!($prefix, "_0190f1c2d3e47a5b8c6d7e8f90a1b2c3"),
                    })
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        text_form!(
            $name,
            stringify!($name),
            concat!("The id of one ", $kind, "."),
            concat!("^", $prefix, "_[0-9a-f]{32}$"),
            concat!($prefix, "_0190f1c2d3e47a5b8c6d7e8f90a1b2c3")
        );
    };
}

uuid_id!(
    /// A tenant: owns datasets and jobs, and gets a share of the GPUs.
    ProjectId, "project", "prj"
);
uuid_id!(
    /// A registered list of source images.
    DatasetId, "dataset", "dst"
);
uuid_id!(
    /// One submitted job.
    JobId, "job", "job"
);
uuid_id!(
    /// One hand-out of compatible tasks to a worker.
    BatchId, "batch", "bat"
);
uuid_id!(
    /// One process start of a worker. A restarted worker is a new boot, so a zombie never looks alive.
    BootId, "boot", "boot"
);
uuid_id!(
    /// One provenance record.
    RecordId, "record", "rec"
);
uuid_id!(
    /// One API key. Not secret: it names the key in lists and in the audit log.
    ApiKeyId, "key", "key"
);

/// The unit that is scheduled. `job` is the job's dense sequence number (the partition key), `no` counts within the job
/// from 0. Written `412-17`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TaskId {
    /// Sequence number of the job that owns the task.
    pub job: i64,
    /// Number of the task within its job, from 0.
    pub no: i32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.job, self.no)
    }
}

impl FromStr for TaskId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split_once('-')
            .and_then(|(job, no)| Some(Self { job: job.parse().ok()?, no: no.parse().ok()? }))
            .filter(|id| id.job >= 0 && id.no >= 0 && id.to_string() == text)
            .ok_or_else(|| IdError { kind: "task", text: text.to_owned(), example: "412-17" })
    }
}

impl Serialize for TaskId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TaskId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

text_form!(
    TaskId,
    "TaskId",
    "The id of one task: the sequence number of its job, and its number within the job from 0.",
    "^(0|[1-9][0-9]{0,17})-(0|[1-9][0-9]{0,8})$",
    "412-17"
);

/// The fence of a task: grows by one every time the task is handed out. A message with another epoch changes nothing.
pub type Epoch = i64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_parse_only_their_own_kind() {
        let job = JobId::from_uuid(Uuid::from_u128(7));
        assert_eq!(job.to_string().parse::<JobId>(), Ok(job));
        assert!(job.to_string().parse::<BatchId>().is_err());
        let task = TaskId { job: 412, no: 17 };
        assert_eq!(task.to_string(), "412-17");
        assert_eq!("412-17".parse::<TaskId>(), Ok(task));
        assert!("-1-17".parse::<TaskId>().is_err());
    }
}
