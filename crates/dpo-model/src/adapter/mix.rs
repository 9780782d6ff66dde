//! Adapters with strengths, alone and together: <https://arxiv.org/abs/2402.02992>.

use super::{Adapter, AdapterModule, LoraConfig, LoraKind, LoraScaling, LoraTargets};
use crate::ModelError;

impl Adapter {
    /// One adapter that adds the sum of what these add, each times its strength.
    ///
    /// Products of the sum of all ranks say exactly that: `[s₁B₁ s₂B₂]·[A₁; A₂]`. DoRA's lengths cannot be added up, so a
    /// DoRA adapter stands alone, with strength 1.
    pub fn mixed(adapters: &[(Self, f64)]) -> Result<Self, ModelError> {
        if let [(adapter, strength)] = adapters
            && (*strength - 1.0).abs() == 0.0
        {
            return Ok(adapter.clone());
        }
        if adapters.iter().any(|(adapter, _)| adapter.config.kind == LoraKind::Dora) {
            return Err(ModelError::DoraCannotBeMixed);
        }
        let Some((first, _)) = adapters.first() else {
            return Err(ModelError::BadSetting {
                setting: "adapters",
                found: "none".to_owned(),
                expected: "at least one to mix",
            });
        };
        let mut mix = Self {
            config: LoraConfig { alpha: 1.0, rank: 1, scaling: LoraScaling::ByRank, ..first.config.clone() },
            base: first.base.clone(),
            modules: Vec::new(),
        };
        for (adapter, strength) in adapters {
            let scale = adapter.config.scale() * strength;
            adapter.modules.iter().for_each(|module| mix.add(module, scale));
        }
        mix.settle();
        Ok(mix)
    }

    /// Gives every matrix the largest rank, and says so in the settings: a PEFT folder has one rank. What is added are
    /// zeros, and `α` equal to the rank multiplies by 1.
    fn settle(&mut self) {
        let rank = self.modules.iter().map(|module| module.rank).max().unwrap_or(1);
        for module in &mut self.modules {
            let row = |row: &[f32]| {
                let mut row = row.to_vec();
                row.resize(rank, 0.0);
                row
            };
            module.up = module.up.chunks(module.rank).flat_map(row).collect();
            module.down.resize(rank * module.d_in, 0.0);
            module.rank = rank;
        }
        (self.config.rank, self.config.alpha) = (rank, rank as f64);
        let names = self.modules.iter().map(|module| module.name.clone()).collect();
        self.config.targets = LoraTargets::Names(names);
    }

    fn add(&mut self, module: &AdapterModule, scale: f64) {
        let up: Vec<f32> = module.up.iter().map(|x| (f64::from(*x) * scale) as f32).collect();
        match self.modules.iter_mut().find(|known| known.name == module.name) {
            None => self.modules.push(AdapterModule { up, ..module.clone() }),
            Some(known) => {
                let rows = known.up.chunks(known.rank).zip(up.chunks(module.rank));
                known.up = rows.flat_map(|(a, b)| a.iter().chain(b).copied()).collect();
                known.down.extend(&module.down);
                known.rank += module.rank;
            }
        }
    }
}
