//! Log-probabilities of completion tokens and their gradients, without a `[tokens, vocabulary]` tensor.
//!
//! ```console
//! cargo run --release -p dpo-kernels --example completion_logps
//! ```
use burn::tensor::{Device, Distribution, Int, Tensor};
use dpo_kernels::{LogitSpec, completion_logps};

fn main() {
    let (n_tokens, d_model, vocab) = (6, 16, 1000);
    let device = Device::flex().autodiff();

    // The rows of the last hidden state that predict a completion token, and the (here frozen) output head.
    let hidden = Tensor::<2>::random([n_tokens, d_model], Distribution::Default, &device).require_grad();
    let head = Tensor::<2>::random([vocab, d_model], Distribution::Normal(0.0, 0.1), &device);
    // The token that each of those rows should predict.
    let targets = Tensor::<1, Int>::from_ints([5, 17, 999, 0, 42, 7], &device);

    let logps = completion_logps(hidden.clone(), head, targets, LogitSpec::default());
    println!("log-probability of each token, in nats: {}", logps.clone().into_data());

    // A completion's log-probability is the sum over its tokens; its gradient has the shape of `hidden`.
    let grads = logps.sum().backward();
    let slope = hidden.grad(&grads).expect("`hidden` is tracked");
    println!("gradient of the sum with respect to the hidden rows: {:?}", slope.dims());
}
