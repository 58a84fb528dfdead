//! Sizes for people: bytes in units of 1024, three digits that matter.

/// `0 B`, `640 KiB`, `1.0 GiB`.
pub fn show(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut size, mut unit) = (bytes as f64 / 1024.0, 0);
    // 1023.9 would be shown as 1024.
    while size >= 999.5 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    if size < 9.95 { format!("{size:.1} {}", UNITS[unit]) } else { format!("{size:.0} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (655_360, "640 KiB"),
            (1 << 30, "1.0 GiB"),
            (1023 << 10, "1.0 MiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(show(bytes), text);
        }
    }
}
