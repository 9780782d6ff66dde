//! Every tensor that a configuration calls for.

use super::{AttentionInputs, DecoderConfig, FeedForwardKind, NormKind, QueryKeyNorm, TensorNames};

/// Name and shape of a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterInfo {
    /// Where it is in the decoder, the same for all families: `layers.0.attention.output.weight`.
    pub path: String,
    /// Its tensor's name in a Hugging Face checkpoint.
    pub name: String,
    /// Its axes in the decoder, outermost first; a matrix is `[d_out, d_in]`.
    pub shape: Vec<usize>,
    /// How a checkpoint has it.
    pub stored_as: StoredAs,
    /// Which rows of its tensor it is, of a table that is too large for a buffer of the device; `None` if it is all of them.
    pub part: Option<TablePart>,
}

/// Some rows of a table whose others are parameters of their own, under the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TablePart {
    /// Rows before it.
    pub first_row: usize,
    /// Rows of the whole table.
    pub n_rows: usize,
}

/// How a matrix lies in a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredAs {
    /// `[d_out, d_in]`, as the decoder has it.
    OutIn,
    /// `[d_in, d_out]`: GPT-2's.
    InOut,
}

impl ParameterInfo {
    /// The parameter at one of the decoder's own paths, such as `layers.0.attention.output.weight`.
    pub(crate) fn at(names: &TensorNames, path: &str, shape: &[usize]) -> Self {
        let is_matrix = shape.len() == 2 && path.starts_with("layers.") && path.ends_with(".weight");
        let stored_as = if is_matrix { names.matrices } else { StoredAs::OutIn };
        Self {
            path: path.to_owned(),
            name: names.of_path(path),
            shape: shape.to_vec(),
            stored_as,
            part: None,
        }
    }

    /// Whether it is the first or only parameter of its name.
    pub fn is_first(&self) -> bool {
        self.part.is_none_or(|part| part.first_row == 0)
    }

    /// The axes of all parameters of its name together.
    pub fn whole_shape(&self) -> Vec<usize> {
        let mut shape = self.shape.clone();
        if let Some(part) = self.part {
            shape[0] = part.n_rows;
        }
        shape
    }

    /// Its own among the values of all parameters of its name, which lie row after row; `None` where these are too few or too many.
    pub fn own<'a>(&self, values: &'a [f32]) -> Option<&'a [f32]> {
        if values.len() != self.whole_shape().iter().product::<usize>() {
            return None;
        }
        let width: usize = self.shape.iter().skip(1).product();
        let start = self.part.map_or(0, |part| part.first_row * width);
        Some(&values[start..start + self.n_values()])
    }

    /// Whether weight decay applies, as transformers decides it: not to norms and biases.
    pub fn is_decayed(&self) -> bool {
        self.shape.len() > 1
    }

    /// Whether it belongs to an adapter.
    pub fn is_adapter(&self) -> bool {
        self.path.rsplit_once('.').is_some_and(|(module, _)| module.ends_with(".adapter"))
    }

    /// Number of its values.
    pub fn n_values(&self) -> usize {
        self.shape.iter().product()
    }

    /// Its axes in a checkpoint; of a part those of the whole table.
    pub fn stored_shape(&self) -> Vec<usize> {
        let shape = self.whole_shape();
        match self.stored_as {
            StoredAs::OutIn => shape,
            StoredAs::InOut => shape.into_iter().rev().collect(),
        }
    }

    /// The decoder's values as a checkpoint has them.
    pub fn to_stored(&self, values: Vec<f32>) -> Vec<f32> {
        match self.stored_as {
            StoredAs::OutIn => values,
            StoredAs::InOut => transposed(&values, self.shape[1]),
        }
    }

    /// A checkpoint's values as the decoder has them.
    pub fn from_stored(&self, values: Vec<f32>) -> Vec<f32> {
        match self.stored_as {
            StoredAs::OutIn => values,
            StoredAs::InOut => transposed(&values, self.shape[0]),
        }
    }
}

/// Rows of `width` become columns.
fn transposed(values: &[f32], width: usize) -> Vec<f32> {
    (0..width).flat_map(|col| values.iter().skip(col).step_by(width).copied()).collect()
}

/// A matrix of a block: what an adapter can be put beside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinearModule {
    /// Its place in the decoder: `layers.0.attention.output`.
    pub path: String,
    /// Its name in a checkpoint, without `.weight`.
    pub name: String,
    /// Numbers that it gives.
    pub d_out: usize,
    /// Numbers that it reads.
    pub d_in: usize,
}

impl DecoderConfig {
    /// The matrices of all blocks, in order: neither embeddings nor the head.
    pub fn linear_modules(&self) -> Vec<LinearModule> {
        let module = |info: ParameterInfo| {
            let &[d_out, d_in] = info.shape.as_slice() else { return None };
            let path =
                info.path.strip_suffix(".weight").filter(|path| path.starts_with("layers."))?.to_owned();
            Some(LinearModule { path, name: info.name.trim_end_matches(".weight").to_owned(), d_out, d_in })
        };
        self.expected_tensors().into_iter().filter_map(module).collect()
    }

    /// Every tensor of this decoder under its Hugging Face name, in the order of the forward pass.
    ///
    /// A tied head is the embedding and is not listed again.
    pub fn expected_tensors(&self) -> Vec<ParameterInfo> {
        let mut list = List { names: self.names(), tensors: Vec::new() };
        list.push("embedding.weight", &[self.vocab_size, self.d_model]);
        if self.position_table {
            list.push("position_table.weight", &[self.max_position_embeddings, self.d_model]);
        }
        for layer_idx in 0..self.n_layers() {
            self.push_block(&mut list, &format!("layers.{layer_idx}"));
        }
        list.norm("norm", self.d_model, self.norm.kind);
        if !self.tie_word_embeddings {
            list.push("head.weight", &[self.vocab_size, self.d_model]);
        }
        list.tensors
    }

    fn push_block(&self, list: &mut List, block: &str) {
        let (places, kind) = (self.norm.places, self.norm.kind);
        let norm = |list: &mut List, part: &str, is_there: bool| {
            if is_there {
                list.norm(&format!("{block}.{part}"), self.d_model, kind);
            }
        };
        norm(list, "attention_norm", places.has_before());
        self.push_attention(list, &format!("{block}.attention"));
        norm(list, "attention_out_norm", places.has_after());
        norm(list, "feed_forward_norm", places.has_before());
        self.push_feed_forward(list, &format!("{block}.feed_forward"));
        norm(list, "feed_forward_out_norm", places.has_after());
    }

    fn push_attention(&self, list: &mut List, path: &str) {
        let attention = &self.attention;
        let (query, key) = (attention.query_width(), attention.key_width());
        let mut input = |part: &str, d_out| {
            list.linear(&format!("{path}.inputs.{part}"), [d_out, self.d_model], attention.input_bias);
        };
        match attention.inputs {
            AttentionInputs::Separate => [("query", query), ("key", key), ("value", key)]
                .into_iter()
                .for_each(|(part, d_out)| input(part, d_out)),
            AttentionInputs::Stacked | AttentionInputs::Interleaved => input("stacked", query + 2 * key),
        }
        list.linear(&format!("{path}.output"), [self.d_model, query], attention.output_bias);
        let widths = match attention.query_key_norm {
            QueryKeyNorm::Absent => return,
            QueryKeyNorm::EachHead => [attention.head_dim; 2],
            QueryKeyNorm::AllHeads => [query, key],
        };
        list.norm(&format!("{path}.query_norm"), widths[0], self.norm.kind);
        list.norm(&format!("{path}.key_norm"), widths[1], self.norm.kind);
    }

    fn push_feed_forward(&self, list: &mut List, path: &str) {
        let (wide, narrow, bias) = (self.feed_forward.d_ff, self.d_model, self.feed_forward.bias);
        let inner: &[(&str, usize)] = match self.feed_forward.kind {
            FeedForwardKind::Gated => &[("gate", wide), ("up", wide)],
            FeedForwardKind::GatedStacked => &[("stacked", 2 * wide)],
            FeedForwardKind::Plain => &[("up", wide)],
        };
        for (part, d_out) in inner {
            list.linear(&format!("{path}.inner.{part}"), [*d_out, narrow], bias);
        }
        list.linear(&format!("{path}.down"), [narrow, wide], bias);
    }
}

struct List {
    names: &'static TensorNames,
    tensors: Vec<ParameterInfo>,
}

impl List {
    fn push(&mut self, path: &str, shape: &[usize]) {
        self.tensors.push(ParameterInfo::at(self.names, path, shape));
    }

    fn linear(&mut self, module: &str, shape: [usize; 2], has_bias: bool) {
        self.push(&format!("{module}.weight"), &shape);
        if has_bias {
            self.push(&format!("{module}.bias"), &shape[..1]);
        }
    }

    fn norm(&mut self, module: &str, width: usize, kind: NormKind) {
        self.push(&format!("{module}.weight"), &[width]);
        if kind == NormKind::Layer {
            self.push(&format!("{module}.bias"), &[width]);
        }
    }
}
