//! Columns to domain values and back. A value that cannot be read names its table, column and row.

use crate::StoreError;
use domain::{Digest, StageKey};
use std::fmt::Display;

/// Where a value stands: for error messages.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub table: &'static str,
    pub row: &'a (dyn Display + Sync),
}

impl Place<'_> {
    pub(crate) fn corrupt(&self, column: &'static str, cause: impl Display) -> StoreError {
        StoreError::Corrupt { table: self.table, column, row: self.row.to_string(), cause: cause.to_string() }
    }

    pub(crate) fn digest(&self, column: &'static str, bytes: &[u8]) -> Result<Digest, StoreError> {
        Digest::try_from(bytes).map_err(|e| self.corrupt(column, e))
    }

    pub(crate) fn digest_opt(&self, column: &'static str, bytes: Option<&[u8]>) -> Result<Option<Digest>, StoreError> {
        bytes.map(|b| self.digest(column, b)).transpose()
    }

    pub(crate) fn key(&self, column: &'static str, bytes: &[u8]) -> Result<StageKey, StoreError> {
        self.digest(column, bytes).map(StageKey)
    }

    pub(crate) fn required<T>(&self, column: &'static str, value: Option<T>) -> Result<T, StoreError> {
        value.ok_or_else(|| self.corrupt(column, "it is null in a state that has it"))
    }

    pub(crate) fn parse<T: std::str::FromStr>(&self, column: &'static str, text: &str) -> Result<T, StoreError>
    where
        T::Err: Display,
    {
        text.parse().map_err(|e| self.corrupt(column, e))
    }

    pub(crate) fn json<T: serde::de::DeserializeOwned>(
        &self,
        column: &'static str,
        value: serde_json::Value,
    ) -> Result<T, StoreError> {
        serde_json::from_value(value).map_err(|e| self.corrupt(column, e))
    }
}

pub(crate) fn to_json<T: serde::Serialize>(what: &'static str, value: &T) -> Result<serde_json::Value, StoreError> {
    serde_json::to_value(value).map_err(|e| StoreError::Unstorable { what, cause: e.to_string() })
}

/// A seed as a column: the same 64 bits.
pub(crate) const fn seed_column(seed: u64) -> i64 {
    seed.cast_signed()
}

/// A column as a seed: the same 64 bits.
pub(crate) const fn seed_value(column: i64) -> u64 {
    column.cast_unsigned()
}

/// Edit number of a column: -1 stands for "no edit".
pub(crate) fn edit_value(column: i16) -> Option<i16> {
    (column >= 0).then_some(column)
}

/// Edit number as a column.
pub(crate) fn edit_column(edit_no: Option<i16>) -> i16 {
    edit_no.unwrap_or(-1)
}
