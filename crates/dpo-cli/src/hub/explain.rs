//! What a failure of the hub client means for the person who asked.

use hf_hub::api::sync::ApiError;

/// One message: what was asked for, why it failed, what to do.
pub(super) fn explain(error: ApiError, what: &str, endpoint: &str) -> anyhow::Error {
    let advice = match &error {
        // ureq is not a dependency of ours, so its status is read from its text; a test holds the wording.
        ApiError::RequestError(request) => match status(&request.to_string()) {
            Some(404) => format!("{endpoint} has no such thing; check the spelling"),
            Some(401) => format!(
                "{endpoint} does not show it to you: it does not exist, or it is private or gated; check the spelling, \
                 or set HF_TOKEN"
            ),
            Some(403) => format!("it is gated; accept its terms on {endpoint} and set HF_TOKEN"),
            Some(429) => format!("{endpoint} has had too many requests; wait a while, or set HF_TOKEN"),
            Some(code) => format!("{endpoint} answered with status {code}; try again later"),
            None => format!(
                "{endpoint} cannot be reached; check the network and HF_ENDPOINT, or give a path to files that are here"
            ),
        },
        ApiError::LockAcquisition(_) => "another process is downloading it; wait for that one".to_owned(),
        ApiError::IoError(_) => {
            "the download broke off, or the cache cannot be written; try again".to_owned()
        }
        _ => format!("{endpoint} does not answer as a hub does; check HF_ENDPOINT"),
    };
    anyhow::Error::new(error).context(format!("{what}: {advice}"))
}

fn status(text: &str) -> Option<u16> {
    text.strip_prefix("http status: ")?.parse().ok()
}
