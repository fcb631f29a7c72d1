//! What templates need beyond askama's own filters.

use domain::record::Verdict;

/// The verdict's name, which is also its CSS class.
#[askama::filter_fn]
pub fn verdict_name(verdict: &Verdict, _: &dyn askama::Values) -> askama::Result<&'static str> {
    Ok(match verdict {
        Verdict::Accept => "accept",
        Verdict::Reject => "reject",
    })
}

/// A score with four digits after the point.
#[askama::filter_fn]
pub fn short(value: &f64, _: &dyn askama::Values) -> askama::Result<String> {
    Ok(format!("{value:.4}"))
}
