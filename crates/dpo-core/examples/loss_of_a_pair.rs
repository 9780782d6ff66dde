//! The DPO loss of one pair, its gradient, and what the other losses make of the same pair.

use burn::tensor::{Device, Tensor};
use dpo_core::{CompletionLogps, LogRatios, LossConfig, LossKind, Objective, PairLogps};

/// Log-probabilities of both completions under one model, and their numbers of tokens.
fn pair(device: &Device, chosen: Tensor<1>, rejected: Tensor<1>) -> PairLogps {
    let lengths = |n: f32| Tensor::from_floats([n], device);
    PairLogps {
        chosen: CompletionLogps::new(chosen, lengths(4.0)),
        rejected: CompletionLogps::new(rejected, lengths(5.0)),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex();
    let trained = device.clone().autodiff();
    // What the policy says is trained; what the reference says is a constant.
    let chosen = Tensor::<1>::from_floats([-12.0], &trained).require_grad();
    let rejected = Tensor::<1>::from_floats([-15.0], &trained).require_grad();
    let policy = pair(&device, chosen.clone(), rejected.clone());
    let reference =
        pair(&device, Tensor::from_floats([-13.0], &device), Tensor::from_floats([-14.5], &device));
    let ratios = LogRatios::new(policy, reference);
    println!("margin h           {}", ratios.margin().into_scalar::<f32>());

    for kind in LossKind::ALL {
        let config = LossConfig { kind, ..LossConfig::default() };
        let Objective::Pairwise(loss) = config.init()? else { continue };
        println!("{kind:<18} {}", loss.loss(&ratios).into_scalar::<f32>());
    }

    let Objective::Pairwise(dpo) = LossConfig::default().init()? else {
        unreachable!("the default is a pair's loss")
    };
    let gradients = dpo.loss(&ratios).sum().backward();
    for (name, logps) in [("chosen", chosen), ("rejected", rejected)] {
        let slope = logps.grad(&gradients).ok_or("it was required above")?;
        println!("∂ sigmoid / ∂ log π({name}) = {}", slope.into_scalar::<f32>());
    }
    Ok(())
}
