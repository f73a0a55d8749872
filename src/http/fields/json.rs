//! Reads JSON as callers mean it: a field that is said twice is refused, since nobody can tell which
//! one is meant, and `26.0` is 26, since JSON has one kind of number.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

/// Reads `text` to its end.
pub(in crate::http) fn read(text: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice(text).map(|Read(value)| value)
}

struct Read(Value);

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(flag.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        // Those that a double holds exactly, and no others.
        let is_whole = number.fract() == 0.0 && (0.0..=EXACT_BELOW).contains(&number);
        let whole = is_whole.then(|| format!("{number:.0}").parse::<u64>().ok()).flatten();
        Ok(whole.map_or_else(|| number.into(), Value::from))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut read = Vec::new();
        while let Some(Read(item)) = items.next_element()? {
            read.push(item);
        }
        Ok(read.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut read = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            if read.contains_key(&name) {
                return Err(A::Error::custom(format!("the field `{name}` is there twice")));
            }
            let Read(value) = fields.next_value()?;
            read.insert(name, value);
        }
        Ok(read.into())
    }
}

const EXACT_BELOW: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_read_is_what_was_written() {
        let text = r#"{"a":[1,-2,2.5,"x",null,true,{}],"b":{"c":18446744073709551615}}"#;
        assert_eq!(read(text.as_bytes()).unwrap().to_string(), text);
    }

    #[test]
    fn a_whole_number_may_be_written_with_a_fraction() {
        let whole = json!([26, 0, 3600, 9_007_199_254_740_992_u64]);
        assert_eq!(read(b"[26.0,0.0,3.6e3,9007199254740992.0]").unwrap(), whole);
        for other in ["2.5", "-1.0", "1e300", "18446744073709551616"] {
            assert_eq!(read(other.as_bytes()).unwrap().as_u64(), None, "{other}");
        }
    }

    #[test]
    fn a_field_that_is_said_twice_is_refused_at_any_depth() {
        for text in [r#"{"a":1,"a":1}"#, r#"[{"b":{"a":1,"\u0061":2}}]"#] {
            let error = read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("the field `a` is there twice"), "{error}");
        }
    }

    #[test]
    fn what_is_nested_too_deep_is_refused() {
        assert!(read("[".repeat(200).as_bytes()).is_err());
        let deep = "[".repeat(1000) + &"]".repeat(1000);
        assert!(read(deep.as_bytes()).unwrap_err().to_string().contains("recursion"));
    }
}
