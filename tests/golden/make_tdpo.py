"""Makes runs/tdpo.json: ten optimizer steps of TRL's DPOTrainer with the loss of TDPO, which TRL does not have.

    python make_tdpo.py              # beside runs/model, runs/train_conv.json and runs/eval_conv.json

TDPO (https://arxiv.org/abs/2404.11999) takes β·α·(D_l − sg[D_w]) from what DPO takes the sigmoid of, where D is the sum over the
completion's tokens of KL(reference ‖ policy) over the whole vocabulary, as in `tdpo_loss` and `_tdpo_get_batch_logps` of its
authors (https://github.com/Vance0124/Token-level-Direct-Preference-Optimization, `if_tdpo2`). Everything else is TRL's.
"""

from types import SimpleNamespace

import torch
import torch.nn.functional as F
import trl.trainer.dpo_trainer as trl_dpo
from trl import DPOTrainer

from make_tr_dpo import train

ALPHA = 0.5


class TdpoTrainer(DPOTrainer):
    def divergences(self, model, inputs):
        """Sums over the completions' tokens, [2 * n_pairs]: chosen ones, then rejected ones."""

        def log_probs(of):
            logits = of(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False).logits
            return logits[:, :-1].log_softmax(-1)

        policy = log_probs(model)
        with torch.no_grad():
            reference = log_probs(self.ref_model)
        per_token = (reference.exp() * (reference - policy)).sum(-1)
        return (per_token * inputs["completion_mask"][:, 1:]).sum(1)

    def _compute_loss(self, model, inputs, return_outputs):
        chosen, rejected = self.divergences(model, inputs).chunk(2)
        less = self.beta * ALPHA * (rejected - chosen.detach())
        trl_dpo.F = SimpleNamespace(**vars(F) | {"logsigmoid": lambda z: F.logsigmoid(z - less)})
        try:
            return super()._compute_loss(model, inputs, return_outputs)
        finally:
            trl_dpo.F = F


if __name__ == "__main__":
    train("tdpo", TdpoTrainer, {}, written={"loss_type": ["tdpo"], "tdpo_alpha": ALPHA})
