//! Bytes of wide registers as numbers side by side: integers and floating-point numbers. Reads no register.

use schemars::JsonSchema;
use serde::Serialize;

use crate::session::numbers::{self, float32, float64};
use crate::session::page::{Page, Span, Style};

/// A vector register as numbers of each kind, the lowest first.
#[derive(Serialize, JsonSchema)]
pub(in super::super) struct Lanes {
    int8: Vec<i8>,
    int16: Vec<i16>,
    int32: Vec<i32>,
    int64: Vec<i64>,
    /// Null where it is infinite or no number.
    float: Vec<Option<f32>>,
    /// Null where it is infinite or no number.
    double: Vec<Option<f64>>,
    #[serde(skip)]
    floats: Vec<f32>,
    #[serde(skip)]
    doubles: Vec<f64>,
}

impl Lanes {
    pub fn of(bytes: &[u8]) -> Lanes {
        let floats: Vec<f32> = bytes.chunks_exact(4).map(|lane| f32::from_bits(number(lane) as u32)).collect();
        let doubles: Vec<f64> = bytes.chunks_exact(8).map(|lane| f64::from_bits(number(lane))).collect();
        Lanes {
            int8: bytes.iter().map(|byte| *byte as i8).collect(),
            int16: bytes.chunks_exact(2).map(|lane| number(lane) as i16).collect(),
            int32: bytes.chunks_exact(4).map(|lane| number(lane) as i32).collect(),
            int64: bytes.chunks_exact(8).map(|lane| number(lane) as i64).collect(),
            float: floats.iter().map(|float| Some(*float).filter(|float| float.is_finite())).collect(),
            double: doubles.iter().map(|double| Some(*double).filter(|double| double.is_finite())).collect(),
            floats,
            doubles,
        }
    }

    pub fn is_zero(&self) -> bool {
        self.int64.iter().all(|lane| *lane == 0)
    }

    /// Four lines: what the bytes are, read in each way.
    pub fn show(&self, page: &mut Page) {
        let ints = |lanes: &[i64]| list(lanes.iter().map(i64::to_string).collect());
        let int32: Vec<i64> = self.int32.iter().copied().map(i64::from).collect();
        for (name, text) in [
            ("int32", ints(&int32)),
            ("int64", ints(&self.int64)),
            ("float", list(self.floats.iter().map(|float| float32(*float)).collect())),
            ("double", list(self.doubles.iter().map(|double| float64(*double)).collect())),
        ] {
            page.spans(vec![Span::new(format!("    {name:7}"), Style::Dim), text.into()]);
        }
    }
}

/// `{1, 2, 0 <repeats 6 times>}`, as gdb writes it.
fn list(texts: Vec<String>) -> String {
    let runs = texts.chunk_by(|one, next| one == next);
    let parts: Vec<String> = runs
        .flat_map(|run| match run.len() {
            count if count > MOST_REPEATED => vec![format!("{} <repeats {count} times>", run[0])],
            _ => run.to_vec(),
        })
        .collect();
    format!("{{{}}}", parts.join(", "))
}

/// So many equal numbers are written out.
const MOST_REPEATED: usize = 3;

/// At most 8 bytes as a number, the lowest first.
pub(in super::super) fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// A floating-point number of 4, 8 or 10 bytes.
pub(in super::super) fn float(bytes: &[u8]) -> f64 {
    match bytes.len() {
        4 => f32::from_bits(number(bytes) as u32).into(),
        8 => f64::from_bits(number(bytes)),
        _ => numbers::float80(std::array::from_fn(|index| bytes.get(index).copied().unwrap_or(0))),
    }
}

/// All bytes as one hexadecimal number.
pub(in super::super) fn hex(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().rev().map(|byte| format!("{byte:02x}")).collect();
    let digits = digits.trim_start_matches('0');
    format!("0x{}", if digits.is_empty() { "0" } else { digits })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_in_each_way() {
        let mut bytes = [0u8; 16];
        bytes[..8].copy_from_slice(&1.5f64.to_le_bytes());
        bytes[8..12].copy_from_slice(&(-2.5f32).to_le_bytes());
        let lanes = Lanes::of(&bytes);
        assert_eq!((lanes.doubles[0], lanes.floats[2], lanes.int32[3]), (1.5, -2.5, 0));
        assert_eq!(hex(&bytes), "0xc02000003ff8000000000000");
        assert_eq!((hex(&[0, 0]), hex(&[1, 0])), ("0x0".into(), "0x1".into()));
        assert_eq!(number(&[1, 2]), 0x201);
        let texts = [1, 1, 1, 2, 0, 0, 0, 0].map(|lane| lane.to_string()).to_vec();
        assert_eq!(list(texts), "{1, 1, 1, 2, 0 <repeats 4 times>}");
        assert!(!lanes.is_zero() && Lanes::of(&[0; 64]).is_zero());
        let nan = Lanes::of(&f64::NAN.to_le_bytes());
        assert!(nan.double[0].is_none() && nan.doubles[0].is_nan());
    }
}
