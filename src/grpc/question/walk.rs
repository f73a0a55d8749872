//! Reads a question from its bytes on the wire, without a copy of anything.
//!
//! Nothing here says what is wrong with bytes: what it does not take is left to the library, which
//! does.

use smallvec::{Array, SmallVec};

use super::{Lines, Said, Settings};
use crate::identify::{CustomerFrom, Lengths};

/// What `message`, a `CheckRequest`, says; nothing where that takes more than a look: a field where
/// another kind of it is expected, a message that comes in two parts, a claim of a token.
///
/// Of what it takes, it makes the same as the library does (protobuf.dev, "Encoding").
pub(super) fn walk<'a>(message: &'a [u8], from: &CustomerFrom) -> Option<Said<'a>> {
    let mut attributes = None;
    each(message, |number, bytes| match number {
        1 => once(&mut attributes, bytes),
        _ => Some(()),
    })?;
    let (mut request, mut settings) = (None, Settings::new());
    each(attributes.unwrap_or_default(), |number, bytes| match number {
        4 => once(&mut request, bytes),
        10 => {
            let (key, value) = entry(bytes?)?;
            put(&mut settings, (str::from_utf8(key).ok()?, str::from_utf8(value).ok()?));
            Some(())
        }
        // Envoy always tells what filters found out, and mostly that is nothing.
        11 => bytes?.is_empty().then_some(()),
        _ => Some(()),
    })?;
    let mut http = None;
    each(request.unwrap_or_default(), |number, bytes| match number {
        2 => once(&mut http, bytes),
        _ => Some(()),
    })?;
    let (mut method, mut path) = (&[][..], &[][..]);
    let (mut joined, mut lengths, mut raw) = (Lines::new(), Lengths::default(), None);
    each(http.unwrap_or_default(), |number, bytes| {
        match number {
            2 => method = bytes?,
            3 => {
                let (key, value) = entry(bytes?)?;
                // Nearly all names are ASCII, which takes the shortest look.
                if !key.is_ascii() {
                    str::from_utf8(key).ok()?;
                }
                if lengths.insert(key.len()) {
                    joined.push((key, value));
                } else {
                    put(&mut joined, (key, value));
                }
            }
            4 => path = bytes?,
            13 => once(&mut raw, bytes)?,
            _ => {}
        }
        Some(())
    })?;
    let lines = match raw {
        None => joined,
        Some(raw) if joined.is_empty() => lines_of(raw)?,
        Some(_) => return None,
    };
    let customer = match from {
        CustomerFrom::Context(key) => Ok(super::given(&settings, key)),
        CustomerFrom::Header => Ok(None),
        CustomerFrom::Metadata { .. } => return None,
    };
    Some(Said::of(method, path, lines, settings, customer))
}

fn lines_of(header_map: &[u8]) -> Option<Lines<'_>> {
    let mut lines = Lines::new();
    each(header_map, |number, bytes| {
        if number == 1 {
            let (mut key, mut value, mut raw_value) = (&[][..], &[][..], &[][..]);
            each(bytes?, |number, bytes| {
                match number {
                    1 => key = bytes?,
                    2 => value = bytes?,
                    3 => raw_value = bytes?,
                    _ => {}
                }
                Some(())
            })?;
            lines.push((key, if raw_value.is_empty() { value } else { raw_value }));
        }
        Some(())
    })?;
    Some(lines)
}

/// One entry of a map of texts, which its key has yet to be shown to be.
fn entry(message: &[u8]) -> Option<(&[u8], &[u8])> {
    if let Some(entry) = plain_entry(message) {
        return Some(entry);
    }
    let (mut key, mut value) = (&[][..], &[][..]);
    each(message, |number, bytes| {
        match number {
            1 => key = bytes?,
            2 => value = bytes?,
            _ => {}
        }
        Some(())
    })?;
    Some((key, value))
}

/// The same of an entry that is its key and then its value, as nearly all are.
fn plain_entry(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let [KEY, length, rest @ ..] = message else { return None };
    let (key, rest) = rest.split_at_checked(usize::from(*length)).filter(|_| *length < 0x80)?;
    let [VALUE, value @ ..] = rest else { return None };
    let mut value = value;
    let length = varint(&mut value)?;
    (usize::try_from(length) == Ok(value.len())).then_some((key, value))
}

/// Of two entries with one key the last one counts.
fn put<'a, T: ?Sized + PartialEq, const N: usize>(
    map: &mut SmallVec<[(&'a T, &'a T); N]>,
    (key, value): (&'a T, &'a T),
) where
    [(&'a T, &'a T); N]: Array<Item = (&'a T, &'a T)>,
{
    match map.iter_mut().find(|(held, _)| *held == key) {
        Some((_, held)) => *held = value,
        None => map.push((key, value)),
    }
}

/// Takes a message, unless it came before: two of them would have to be made one.
fn once<'a>(taken: &mut Option<&'a [u8]>, bytes: Option<&'a [u8]>) -> Option<()> {
    taken.replace(bytes?).is_none().then_some(())
}

/// Hands over each field of `message`: its number, and its bytes if it has a length. Ends where
/// that wants no more, or at what is no field.
fn each<'a>(
    mut message: &'a [u8],
    mut take: impl FnMut(u64, Option<&'a [u8]>) -> Option<()>,
) -> Option<()> {
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        // A number of more than 29 bits is none, and neither is 0.
        let number = tag >> 3;
        if !(1..1 << 29).contains(&number) {
            return None;
        }
        let length = match tag & 7 {
            0 => {
                varint(&mut message)?;
                take(number, None)?;
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut message)?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (bytes, rest) = message.split_at_checked(length)?;
        message = rest;
        take(number, (tag & 7 == 2).then_some(bytes))?;
    }
    Some(())
}

/// Nearly all of them are one byte.
#[inline]
fn varint(message: &mut &[u8]) -> Option<u64> {
    match message.split_first()? {
        (byte, rest) if byte & 0x80 == 0 => {
            *message = rest;
            Some(u64::from(*byte))
        }
        _ => long_varint(message),
    }
}

fn long_varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for place in 0..10 {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        // Of the tenth byte there is room for one bit.
        if place == 9 && *byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// How the key of a map's entry begins: its number, and that its length follows.
const KEY: u8 = 1 << 3 | 2;
/// The same of its value.
const VALUE: u8 = 2 << 3 | 2;
