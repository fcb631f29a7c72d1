//! Parquet without arrow: rows are kept until a row group is full, then written column by column, compressed with zstd.

use crate::{Column, Columns, ExportError, Kind, Row, Value};
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{Type, TypePtr};
use std::io::Write;
use std::sync::Arc;

/// Rows of a group at most.
const GROUP_ROWS: usize = 8_192;
/// Bytes of text of a group at most: rows with long captions make smaller groups.
const GROUP_BYTES: usize = 16 << 20;

/// A table that is being written.
pub struct Table<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    columns: Columns,
    cells: Vec<Cells>,
    rows: usize,
    bytes: usize,
}

/// The values of one column that are there, and for each row whether one is.
enum Cells {
    Text(Vec<ByteArray>, Vec<i16>),
    Float(Vec<f64>, Vec<i16>),
    Integer(Vec<i64>, Vec<i16>),
}

impl Cells {
    const fn of(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::Text(Vec::new(), Vec::new()),
            Kind::Float => Self::Float(Vec::new(), Vec::new()),
            Kind::Integer => Self::Integer(Vec::new(), Vec::new()),
        }
    }

    /// Takes a value; the bytes it has beyond its place.
    fn push(&mut self, value: Value<'_>) -> usize {
        match (self, value) {
            (Self::Text(values, there), Value::Text(text)) => {
                let long = text.len();
                values.push(ByteArray::from(text.into_owned().into_bytes()));
                there.push(1);
                return long;
            }
            (Self::Float(values, there), Value::Float(number)) => {
                values.push(number);
                there.push(1);
            }
            (Self::Integer(values, there), Value::Integer(number)) => {
                values.push(number);
                there.push(1);
            }
            (Self::Text(_, there) | Self::Float(_, there) | Self::Integer(_, there), _) => there.push(0),
        }
        0
    }

    fn write(&mut self, column: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        match self {
            Self::Text(values, there) => {
                column.typed::<ByteArrayType>().write_batch(values, Some(there), None)?;
                values.clear();
                there.clear();
            }
            Self::Float(values, there) => {
                column.typed::<DoubleType>().write_batch(values, Some(there), None)?;
                values.clear();
                there.clear();
            }
            Self::Integer(values, there) => {
                column.typed::<Int64Type>().write_batch(values, Some(there), None)?;
                values.clear();
                there.clear();
            }
        }
        Ok(())
    }
}

fn field(column: &Column) -> Result<TypePtr, ParquetError> {
    let (physical, logical) = match column.kind {
        Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Float => (Physical::DOUBLE, None),
        Kind::Integer => (Physical::INT64, None),
    };
    let field = Type::primitive_type_builder(&column.name, physical).with_repetition(Repetition::OPTIONAL);
    field.with_logical_type(logical).build().map(Arc::new)
}

impl<W: Write + Send> std::fmt::Debug for Table<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("columns", &self.columns).field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl<W: Write + Send> Table<W> {
    /// An empty table with these columns.
    ///
    /// # Errors
    /// When the writer refuses.
    pub fn new(out: W, columns: &Columns) -> Result<Self, ExportError> {
        let list = columns.list();
        let fields = list.iter().map(field).collect::<Result<Vec<_>, _>>()?;
        let schema = Arc::new(Type::group_type_builder("pairs").with_fields(fields).build()?);
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_created_by("counterfactory".to_owned())
            .build();
        let writer = SerializedFileWriter::new(out, schema, Arc::new(properties))?;
        let cells = list.iter().map(|column| Cells::of(column.kind)).collect();
        Ok(Self { writer, columns: columns.clone(), cells, rows: 0, bytes: 0 })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// When the writer refuses.
    pub fn push(&mut self, row: &Row) -> Result<(), ExportError> {
        for (cells, value) in self.cells.iter_mut().zip(self.columns.values(row)) {
            self.bytes += cells.push(value);
        }
        self.rows += 1;
        if self.rows >= GROUP_ROWS || self.bytes >= GROUP_BYTES {
            self.end_group()?;
        }
        Ok(())
    }

    fn end_group(&mut self) -> Result<(), ExportError> {
        let mut group = self.writer.next_row_group()?;
        for cells in &mut self.cells {
            let Some(mut column) = group.next_column()? else { break };
            cells.write(&mut column)?;
            column.close()?;
        }
        group.close()?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }

    /// Writes what is left and the footer.
    ///
    /// # Errors
    /// When the writer refuses.
    pub fn finish(mut self) -> Result<W, ExportError> {
        if self.rows > 0 {
            self.end_group()?;
        }
        Ok(self.writer.into_inner()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::tests::{columns, row};
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;

    fn read(bytes: Vec<u8>) -> (usize, Vec<Vec<(String, Field)>>) {
        let reader = SerializedFileReader::new(parquet_bytes(bytes)).unwrap();
        let groups = reader.metadata().num_row_groups();
        let rows = reader.get_row_iter(None).unwrap();
        let fields = |row: parquet::record::Row| row.get_column_iter().map(|(n, f)| (n.clone(), f.clone())).collect();
        (groups, rows.map(|row| fields(row.unwrap())).collect())
    }

    fn parquet_bytes(bytes: Vec<u8>) -> bytes::Bytes {
        bytes.into()
    }

    #[test]
    fn a_table_reads_as_it_was_written() {
        let hostile = format!("\"\0\n,{}", "ü".repeat(10_000));
        let mut rows = vec![row(0, &hostile), row(1, "")];
        rows[1].metrics.clear();
        rows[1].steps = None;
        let columns = columns(&rows);
        let mut table = Table::new(Vec::new(), &columns).unwrap();
        rows.iter().for_each(|row| table.push(row).unwrap());
        let (groups, back) = read(table.finish().unwrap());
        assert_eq!((groups, back.len()), (1, 2));
        let names: Vec<_> = columns.list().into_iter().map(|c| c.name).collect();
        assert_eq!(back[0].iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), names);
        let of = |row: usize, name: &str| back[row].iter().find(|(n, _)| n == name).unwrap().1.clone();
        assert_eq!(of(0, "target_caption"), Field::Str(hostile));
        assert_eq!(of(0, "id_sim"), Field::Double(0.25));
        assert_eq!(of(0, "seed"), Field::Long((1 << 53) - 1));
        assert_eq!((of(0, "odd"), of(1, "id_sim"), of(1, "steps")), (Field::Null, Field::Null, Field::Null));
        assert_eq!(of(1, "target_caption"), Field::Str(String::new()));
    }

    #[test]
    fn groups_are_bounded_by_rows_and_by_bytes() {
        let mut table = Table::new(Vec::new(), &columns(&[row(0, "x")])).unwrap();
        (0..GROUP_ROWS as u64 * 2 + 1).for_each(|no| table.push(&row(no, "x")).unwrap());
        let (groups, rows) = read(table.finish().unwrap());
        assert_eq!((groups, rows.len()), (3, GROUP_ROWS * 2 + 1));

        let long = "x".repeat(GROUP_BYTES / 16);
        let mut table = Table::new(Vec::new(), &columns(&[row(0, "x")])).unwrap();
        (0..12).for_each(|no| table.push(&row(no, &long)).unwrap());
        assert!(read(table.finish().unwrap()).0 > 2);
    }
}
