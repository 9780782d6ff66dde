//! One safetensors file: a checked header, and tensors read from their place.
//!
//! The header is parsed here and not by the `safetensors` crate so that an error names the tensor, a name that is
//! there twice is one, and the data need not be mapped.

use super::{TensorInfo, WeightDtype, WeightSource, is_constant, json::Entries, open_file};
use crate::error::ModelError;
use serde_json::Value;
use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The limit that the format's own library has.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// Bytes in flight while a tensor is converted.
const CHUNK_BYTES: usize = 1 << 20;

/// A safetensors file whose header has been checked against its length.
#[derive(Debug)]
pub struct SafetensorsFile {
    path: PathBuf,
    tensors: Vec<TensorInfo>,
    /// First byte of each tensor, from the start of the file.
    starts: Vec<u64>,
    by_name: HashMap<String, usize>,
}

impl SafetensorsFile {
    /// Reads and checks the header; no tensor is read.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let (mut file, file_len) = open_file(path)?;
        let bad = |problem: String| ModelError::bad_file(path, problem);
        if file_len < 8 {
            return Err(bad(format!("{file_len} bytes are no safetensors file; download it again")));
        }
        let mut len = [0; 8];
        file.read_exact(&mut len).map_err(ModelError::reading(path))?;
        let header_len = u64::from_le_bytes(len);
        if header_len > MAX_HEADER_BYTES.min(file_len - 8) {
            return Err(bad(format!(
                "the header claims {header_len} bytes, the file has {file_len}; it is cut off or no safetensors file"
            )));
        }
        let mut header = vec![0; header_len as usize];
        file.read_exact(&mut header).map_err(ModelError::reading(path))?;
        let json = |source| ModelError::Json { path: path.to_path_buf(), source };
        let Entries(entries) = serde_json::from_slice::<Entries<Value>>(&header).map_err(json)?;
        Self::from_entries(path, entries, 8 + header_len, file_len)
    }

    fn from_entries(
        path: &Path,
        entries: Vec<(String, Value)>,
        data_start: u64,
        file_len: u64,
    ) -> Result<Self, ModelError> {
        let entries = entries.into_iter().filter(|(name, _)| name != "__metadata__");
        let mut places = Vec::new();
        for (name, value) in entries {
            let place = Place::parse(name, &value)
                .map_err(|(name, problem)| ModelError::bad_tensor(path, &name, problem))?;
            places.push(place);
        }
        places.sort_by_key(|place| (place.begin, place.end));
        check_layout(path, &places, file_len - data_start)?;
        // What the decoder computes by itself may come in formats that it does not read.
        places.retain(|place| !is_constant(&place.info.name));
        let starts = places.iter().map(|place| data_start + place.begin).collect();
        let by_name = places.iter().enumerate().map(|(idx, place)| (place.info.name.clone(), idx)).collect();
        let tensors = places.into_iter().map(|place| place.info).collect();
        Ok(Self { path: path.to_path_buf(), tensors, starts, by_name })
    }
}

impl WeightSource for SafetensorsFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.by_name.get(name).map(|&idx| &self.tensors[idx])
    }

    fn read_f32(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        let not_there = || ModelError::bad_tensor(&self.path, name, "not in this file");
        let &idx = self.by_name.get(name).ok_or_else(not_there)?;
        let dtype = self.tensors[idx].dtype;
        let (mut file, _) = open_file(&self.path)?;
        file.seek(SeekFrom::Start(self.starts[idx])).map_err(ModelError::reading(&self.path))?;
        let n_values = self.tensors[idx].n_values();
        let mut values = Vec::with_capacity(n_values);
        let mut chunk = vec![0; CHUNK_BYTES.min(n_values * dtype.size())];
        while values.len() < n_values {
            let n_bytes = chunk.len().min((n_values - values.len()) * dtype.size());
            file.read_exact(&mut chunk[..n_bytes]).map_err(ModelError::reading(&self.path))?;
            dtype.decode(&chunk[..n_bytes], &mut values);
        }
        Ok(values)
    }
}

/// A tensor and its bytes within the data part.
struct Place {
    info: TensorInfo,
    begin: u64,
    end: u64,
}

impl Place {
    /// The error is the tensor's name with what is wrong about it.
    fn parse(name: String, value: &Value) -> Result<Self, (String, String)> {
        let fields = if is_constant(&name) { Self::constant(value) } else { Self::fields(value) };
        match fields {
            Ok((dtype, shape, begin, end)) => {
                Ok(Self { info: TensorInfo { name, shape, dtype }, begin, end })
            }
            Err(problem) => Err((name, problem)),
        }
    }

    /// Only the place of a tensor that is not read.
    fn constant(value: &Value) -> Result<(WeightDtype, Vec<usize>, u64, u64), String> {
        match numbers(value.get("data_offsets")).unwrap_or_default()[..] {
            [begin, end] if begin <= end => Ok((WeightDtype::F32, Vec::new(), begin, end)),
            _ => Err("`data_offsets` in the header are not two positions".to_owned()),
        }
    }

    fn fields(value: &Value) -> Result<(WeightDtype, Vec<usize>, u64, u64), String> {
        let dtype = value.get("dtype").and_then(Value::as_str).ok_or("no `dtype` in the header")?;
        let known = WeightDtype::ALL.map(WeightDtype::safetensors_name).join(", ");
        let dtype = WeightDtype::from_safetensors_name(dtype)
            .ok_or_else(|| format!("dtype {dtype:?} is not one of {known}; take the unquantised model"))?;
        let shape = numbers(value.get("shape")).ok_or("`shape` in the header is no list of sizes")?;
        let offsets = numbers(value.get("data_offsets")).unwrap_or_default();
        let &[begin, end] = offsets.as_slice() else {
            return Err("`data_offsets` in the header are not two positions".to_owned());
        };
        let n_bytes =
            byte_len(&shape, dtype).ok_or_else(|| format!("shape {shape:?} is impossibly large"))?;
        if begin.checked_add(n_bytes) != Some(end) {
            let name = dtype.safetensors_name();
            return Err(format!("{name} {shape:?} takes {n_bytes} bytes, its offsets are {begin} to {end}"));
        }
        Ok((dtype, shape.into_iter().map(|size| size as usize).collect(), begin, end))
    }
}

fn numbers(value: Option<&Value>) -> Option<Vec<u64>> {
    value?.as_array()?.iter().map(Value::as_u64).collect()
}

fn byte_len(shape: &[u64], dtype: WeightDtype) -> Option<u64> {
    let bytes = shape.iter().try_fold(dtype.size() as u64, |product, &size| product.checked_mul(size))?;
    usize::try_from(bytes).ok().map(|_| bytes)
}

/// Tensors have to follow one another without gap or overlap, up to the end of the file.
fn check_layout(path: &Path, places: &[Place], data_len: u64) -> Result<(), ModelError> {
    let mut end = 0;
    for place in places {
        if place.begin != end {
            let what =
                if place.begin < end { "overlaps the tensor before it" } else { "leaves a gap before it" };
            let problem = format!("begins at {} and {what}, which ends at {end}", place.begin);
            return Err(ModelError::bad_tensor(path, &place.info.name, problem));
        }
        end = place.end;
        if end > data_len {
            let problem = format!("ends at byte {end} of {data_len}; the file is cut off, download it again");
            return Err(ModelError::bad_tensor(path, &place.info.name, problem));
        }
    }
    if end == data_len {
        return Ok(());
    }
    Err(ModelError::bad_file(path, format!("{} bytes after the last tensor belong to none", data_len - end)))
}
