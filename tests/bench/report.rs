//! Medians and ratios, for every report.

use std::time::Duration;

pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// `figure` as a multiple of `other`, or a dash.
pub fn ratio(figure: f64, other: Option<f64>) -> String {
    match other {
        Some(other) if other > 0.0 => format!("{:.2}", figure / other),
        _ => "-".to_owned(),
    }
}

/// The middle one (the upper of two).
pub fn median<T: PartialOrd>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_by(|a, b| a.partial_cmp(b).expect("figures are numbers"));
    let middle = values.len() / 2;
    values.into_iter().nth(middle)
}
