//! Convenience variables (`$foo`, `$_`, `$__`) and the history of values that were printed (`$1`, `$`, `$$`). Plain data;
//! registers are not among them.

use std::collections::BTreeMap;

use super::types::Value;

/// So many values and variables are kept: the oldest values are forgotten first.
const MOST: usize = 4096;

/// The variables of a session.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    named: BTreeMap<String, Value>,
    history: Vec<Value>,
    /// How many values were forgotten.
    forgotten: usize,
}

impl Variables {
    /// The value of a name without its `$`, as [`super::Machine::variable`] wants it.
    pub fn get(&self, name: &str) -> Option<Value> {
        let back = match name {
            "" => Some(0),
            "$" => Some(1),
            name => match name.strip_prefix('$') {
                Some(count) => Some(count.parse::<usize>().ok()?),
                None => None,
            },
        };
        if let Some(back) = back {
            return self.history.len().checked_sub(back.checked_add(1)?).map(|at| self.history[at]);
        }
        match name.parse::<usize>() {
            Ok(number) => self.history.get(number.checked_sub(self.forgotten + 1)?).copied(),
            Err(_) => self.named.get(name).copied(),
        }
    }

    /// Sets a variable. `false`: the name is one of the history's, or there are too many.
    #[must_use]
    pub fn set(&mut self, name: &str, value: Value) -> bool {
        let is_free = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let fits = self.named.len() < MOST || self.named.contains_key(name);
        if is_free && fits {
            self.named.insert(name.to_owned(), value);
        }
        is_free && fits
    }

    /// Adds a value to the history: its number.
    pub fn add(&mut self, value: Value) -> usize {
        if self.history.len() == MOST {
            self.history.remove(0);
            self.forgotten += 1;
        }
        self.history.push(value);
        self.forgotten + self.history.len()
    }

    /// Notes what was examined last: `$_` is its address and `$__` its value, where it is one number.
    pub fn note_examined(&mut self, address: Value, value: Option<Value>) {
        self.named.insert("_".into(), address);
        if let Some(value) = value {
            self.named.insert("__".into(), value);
        }
    }

    /// The named variables.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Value)> {
        self.named.iter().map(|(name, value)| (name.as_str(), *value))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Type;
    use super::*;

    #[test]
    fn the_history_counts_from_both_ends() {
        let value = |bits| Value::new(bits, Type::I64);
        let mut variables = Variables::default();
        assert_eq!(variables.get(""), None);
        for bits in 1..=3 {
            assert_eq!(variables.add(value(bits * 10)), bits as usize);
        }
        for (name, expected) in [("", 30), ("$", 20), ("$0", 30), ("$2", 10), ("1", 10), ("3", 30)] {
            assert_eq!(variables.get(name), Some(value(expected)), "{name}");
        }
        for name in ["0", "4", "$3", "$x", "foo", "$99999999999999999999"] {
            assert_eq!(variables.get(name), None, "{name}");
        }
        assert!(!variables.set("1", value(1)) && !variables.set("", value(1)) && !variables.set("$", value(1)));
        assert!(variables.set("foo", value(7)));
        assert_eq!(variables.get("foo"), Some(value(7)));
        for bits in 0..MOST as u64 {
            variables.add(value(bits));
        }
        assert_eq!((variables.get("3"), variables.get("4")), (None, Some(value(0))));
    }
}
