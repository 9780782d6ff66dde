//! Rows of a Parquet file, of the columns that are read alone.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use parquet::schema::types::Type;
use serde_json::{Map, Value};

use super::RowAt;
use super::row::RowReader;
use crate::{DataError, Place, Spot};

/// Reads all rows, with the columns that `is_column` names.
pub(super) fn read_parquet(
    file: File,
    path: &Path,
    is_column: &dyn Fn(&str) -> bool,
    rows: &mut RowReader<'_>,
) -> Result<(), DataError> {
    let failed = |problem: String, spot| {
        let place = Place { path: path.to_path_buf(), spot };
        DataError::Parquet { place, problem }
    };
    let reader =
        guarded(|| SerializedFileReader::new(file)).map_err(|problem| failed(problem, Spot::File))?;
    let schema = reader.metadata().file_metadata().schema();
    let (read, left_out): (Vec<_>, Vec<_>) =
        schema.get_fields().iter().cloned().partition(|field| is_column(field.name()));
    rows.leaves_out(left_out.iter().map(|field| field.name().to_owned()).collect());
    let projection = project(schema, read).map_err(|error| failed(error.to_string(), Spot::File))?;
    let iter = guarded(|| reader.get_row_iter(Some(projection)));
    let mut iter = iter.map_err(|problem| failed(problem, Spot::File))?;
    for number in 1.. {
        let row = guarded(|| iter.next().transpose());
        let at = RowAt::table_row(number);
        let Some(row) = row.map_err(|problem| failed(problem, at.spot))? else { break };
        let row = object(row).map_err(|column| DataError::Type {
            place: at.place(path),
            column,
            found: "binary data".to_owned(),
            expected: "text in UTF-8",
        })?;
        rows.read(at, row)?;
    }
    Ok(())
}

/// Calls the parquet crate, whose record reader panics where bytes contradict the schema: a damaged file is the
/// user's, not a bug of ours.
fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("its parts contradict each other".to_owned()),
    }
}

fn project(schema: &Type, fields: Vec<Arc<Type>>) -> Result<Type, ParquetError> {
    Type::group_type_builder(schema.name()).with_fields(fields).build()
}

/// The row as JSON; an error is the path of a column with bytes that are no text.
fn object(row: Row) -> Result<Map<String, Value>, String> {
    let value_of = |(name, field)| {
        let value = value(field).map_err(|inner| format!("{name}{inner}"))?;
        Ok((name, value))
    };
    row.into_columns().into_iter().map(value_of).collect()
}

fn value(field: Field) -> Result<Value, String> {
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(value) => value.into(),
        Field::Byte(value) => value.into(),
        Field::Short(value) => value.into(),
        Field::Int(value) => value.into(),
        Field::Long(value) => value.into(),
        Field::UByte(value) => value.into(),
        Field::UShort(value) => value.into(),
        Field::UInt(value) => value.into(),
        Field::ULong(value) => value.into(),
        Field::Float16(value) => value.to_f32().into(),
        Field::Float(value) => value.into(),
        Field::Double(value) => value.into(),
        Field::Str(value) => value.into(),
        Field::Bytes(bytes) => String::from_utf8(bytes.data().to_vec()).map_err(|_| String::new())?.into(),
        Field::Group(row) => Value::Object(object(row).map_err(|inner| format!(".{inner}"))?),
        Field::ListInternal(list) => {
            let elements = list.elements().iter().enumerate();
            let value_of = |(idx, field): (usize, &Field)| {
                value(field.clone()).map_err(|inner| format!("[{idx}]{inner}"))
            };
            elements.map(value_of).collect::<Result<Vec<_>, _>>()?.into()
        }
        Field::MapInternal(map) => {
            let entry = |(key, field): &(Field, Field)| {
                let key = match key {
                    Field::Str(key) => key.clone(),
                    other => other.to_string(),
                };
                let value = value(field.clone()).map_err(|inner| format!(".{key}{inner}"))?;
                Ok::<_, String>((key, value))
            };
            Value::Object(map.entries().iter().map(entry).collect::<Result<_, _>>()?)
        }
        // Numbers that only decimals hold exactly, dates and times: as they are written.
        other => Value::String(other.to_string()),
    })
}
