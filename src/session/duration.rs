//! DURATION as commands take it (`2`, `0.5`, `200ms`, `2s`, `1m`, `1h`) and as replies show it.

use std::time::Duration;

/// Nothing here waits longer than this: a year.
const LONGEST_S: f64 = 366.0 * 24.0 * 3600.0;

/// Parses a number of seconds, or a number with a unit. For clap's `value_parser`.
pub fn parse(text: &str) -> Result<Duration, String> {
    let complaint = || format!("{text:?} is no duration: say seconds (2, 0.5) or a unit (200ms, 2s, 1m, 1h)");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "" | "s" => 1.0,
        "us" => 1e-6,
        "ms" => 1e-3,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(complaint()),
    };
    let seconds = number.parse::<f64>().map_err(|_| complaint())? * factor;
    if seconds > LONGEST_S {
        return Err(format!("{text:?} is longer than a year"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// A duration for people: three digits that matter and a unit.
pub fn show(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        s if s < 0.000_095 => format!("{:.2} ms", s * 1e3),
        s if s < 0.0995 => format!("{:.1} ms", s * 1e3),
        s if s < 0.9995 => format!("{:.0} ms", s * 1e3),
        s if s < 99.95 => format!("{s:.1} s"),
        s if s < 7200.0 => format!("{:.0} min {:02.0} s", (s / 60.0).floor(), (s % 60.0).floor()),
        s => format!("{:.1} h", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed() {
        for (text, millis) in
            [("2", 2000), ("0.5", 500), ("200ms", 200), ("2s", 2000), ("1m", 60_000), ("0", 0), (".5", 500)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "-1", "x", "1x", "1.2.3", "s", ".", "1e9", "9999999999", "inf", "NaN", "1 s"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_shown() {
        for (micros, text) in [
            (300, "0.3 ms"),
            (23_400, "23.4 ms"),
            (150_000, "150 ms"),
            (10_200_000, "10.2 s"),
            (125_000_000, "2 min 05 s"),
        ] {
            assert_eq!(show(Duration::from_micros(micros)), text);
        }
    }
}
