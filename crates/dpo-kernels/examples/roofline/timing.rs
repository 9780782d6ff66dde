//! Timing an operation on inputs that lie in memory, not in a cache.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use burn::tensor::{Device, Tensor, TensorData};
use dpo_kernels::Precision;

/// Inputs are taken in turn from copies that fill this together, and outputs are kept until as much has been made: more
/// than the caches of all but the largest servers, as the layers of a model do it.
const WORKING_SET: usize = 256 << 20;

/// What an operation is, and what it cannot do without.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    pub(crate) name: String,
    pub(crate) shape: String,
    /// Operands of its matrix products.
    pub(crate) precision: Precision,
    /// Operations of its matrix products; 0 where there are none.
    pub(crate) flop: f64,
    /// Bytes of its inputs and outputs, each once; but for the gradient of the output, which has just been made and lies
    /// in a cache still.
    pub(crate) bytes: f64,
}

/// A kernel and the seconds of each run, in order of size.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) kernel: Kernel,
    pub(crate) seconds: Vec<f64>,
}

impl Measured {
    /// The value below which this share of the runs lies.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let at = share * (self.seconds.len() - 1) as f64;
        let (low, high) = (self.seconds[at.floor() as usize], self.seconds[at.ceil() as usize]);
        low + (high - low) * at.fract()
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }
}

/// How long the part that counts of one run took, and what it made.
pub(crate) struct Run {
    pub(crate) elapsed: Duration,
    pub(crate) made: Vec<Tensor<2>>,
}

/// Runs kernels and collects their times.
pub(crate) struct Bench {
    only: String,
    runs: usize,
    pub(crate) measured: Vec<Measured>,
}

impl Bench {
    pub(crate) fn new(only: String, runs: usize) -> Self {
        Self { only, runs, measured: Vec::new() }
    }

    /// The output from the inputs.
    pub(crate) fn forward(
        &mut self,
        kernel: Kernel,
        inputs: &[[usize; 2]],
        op: &dyn Fn(&[Tensor<2>]) -> Tensor<2>,
    ) {
        self.run(kernel, inputs, &Device::flex(), 0.0, &mut |inputs| {
            let start = Instant::now();
            let output = op(inputs);
            Run { elapsed: start.elapsed(), made: vec![output] }
        });
    }

    /// The gradients of the `tracked` inputs from that of the output, without the forward pass and without making the
    /// ones that stand for the gradient of the output.
    pub(crate) fn backward(
        &mut self,
        kernel: Kernel,
        inputs: &[[usize; 2]],
        tracked: &[usize],
        op: &dyn Fn(&[Tensor<2>]) -> Tensor<2>,
    ) {
        let device = Device::flex().autodiff();
        if !kernel.name.contains(&self.only) {
            return;
        }
        let output = op(&made(inputs, &device)).dims();
        let ones = self.seconds(&[output], &device, &mut |inputs| backward(inputs, &[0], &|x| x[0].clone()));
        let ones = Measured { kernel: kernel.clone(), seconds: ones }.median();
        self.run(kernel, inputs, &device, ones, &mut |inputs| backward(inputs, tracked, op));
    }

    /// An operation that is given its inputs and tells how long it took; `overhead` is not its own.
    pub(crate) fn run(
        &mut self,
        kernel: Kernel,
        inputs: &[[usize; 2]],
        device: &Device,
        overhead: f64,
        run: &mut dyn FnMut(&[Tensor<2>]) -> Run,
    ) {
        if kernel.name.contains(&self.only) {
            let mut seconds = self.seconds(inputs, device, run);
            seconds.iter_mut().for_each(|seconds| *seconds = (*seconds - overhead).max(1e-9));
            eprint!(".");
            self.measured.push(Measured { kernel, seconds });
        }
    }

    fn seconds(
        &self,
        inputs: &[[usize; 2]],
        device: &Device,
        run: &mut dyn FnMut(&[Tensor<2>]) -> Run,
    ) -> Vec<f64> {
        let bytes: usize = inputs.iter().map(|[rows, columns]| 4 * rows * columns).sum();
        let copies: Vec<_> = (0..(WORKING_SET / bytes).max(1)).map(|_| made(inputs, device)).collect();
        let mut kept = VecDeque::new();
        let mut seconds = Vec::new();
        // The first round takes its outputs' memory from the system.
        for idx in 0..copies.len() + 1 + self.runs {
            let Run { elapsed, made } = run(&copies[idx % copies.len()]);
            kept.push_back(made);
            if kept.len() > copies.len() {
                kept.pop_front();
            }
            if idx > copies.len() {
                seconds.push(elapsed.as_secs_f64());
            }
        }
        seconds.sort_by(f64::total_cmp);
        seconds
    }
}

fn backward(inputs: &[Tensor<2>], tracked: &[usize], op: &dyn Fn(&[Tensor<2>]) -> Tensor<2>) -> Run {
    let mut inputs = inputs.to_vec();
    for idx in tracked {
        inputs[*idx] = inputs[*idx].clone().detach().require_grad();
    }
    let output = op(&inputs);
    let start = Instant::now();
    let gradients = output.backward();
    let elapsed = start.elapsed();
    Run { elapsed, made: tracked.iter().filter_map(|idx| inputs[*idx].grad(&gradients)).collect() }
}

/// Inputs of no special value.
fn made(dims: &[[usize; 2]], device: &Device) -> Vec<Tensor<2>> {
    let tensor = |[rows, columns]: &[usize; 2]| {
        let values: Vec<f32> =
            (0..rows * columns).map(|i| ((i * 7919) % 1999) as f32 / 2000.0 - 0.5).collect();
        Tensor::from_data(TensorData::new(values, [*rows, *columns]), device)
    };
    dims.iter().map(tensor).collect()
}
