//! Direct Preference Optimization losses: log-ratios, objectives, rewards and metrics as pure functions of burn tensors
