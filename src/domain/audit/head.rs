//! Heads of the audit trail's chains, signed: whoever holds the store can make a chain anew, and not
//! what was signed of it.

use hmac::{Hmac, KeyInit as _, Mac as _, digest::InvalidLength};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::domain::{Timestamp, digest::hex};

/// The newest entry of a partition's trail, with its chain.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ChainHead {
    /// Whose trail.
    pub partition: u16,
    /// The entry's place in it.
    pub id: String,
    /// Its chain.
    pub chain: String,
}

/// A head, and who says so when.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SignedHead {
    /// The head.
    #[serde(flatten)]
    pub head: ChainHead,
    /// When it was signed.
    pub at: Timestamp,
    /// HMAC-SHA-256 of all that, in hex.
    signature: String,
}

impl ChainHead {
    /// Signs it.
    pub fn signed(self, key: &[u8], at: Timestamp) -> Result<SignedHead, InvalidLength> {
        let signature = signature(&self, key, at)?;
        Ok(SignedHead { head: self, at, signature })
    }
}

impl SignedHead {
    /// Whether it was signed with `key`.
    pub fn is_signed_with(&self, key: &[u8]) -> Result<bool, InvalidLength> {
        Ok(self.signature == signature(&self.head, key, self.at)?)
    }
}

fn signature(
    ChainHead { partition, id, chain }: &ChainHead,
    key: &[u8],
    at: Timestamp,
) -> Result<String, InvalidLength> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key)?;
    mac.update(format!("{partition}\n{id}\n{chain}\n{}", at.as_millis()).as_bytes());
    Ok(hex(&mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_signed_with_one_key_and_as_it_is() {
        let head = ChainHead { partition: 1, id: "5-0".to_owned(), chain: "ab".to_owned() };
        let signed = head.signed(b"a key", Timestamp::from_millis(7)).unwrap();
        // printf '1\n5-0\nab\n7' | openssl dgst -sha256 -hmac 'a key'
        assert_eq!(
            signed.signature,
            "ac50ce1267b2a854da48daf0922c3a364740e95fc02137ed409fc0965b424c77"
        );
        let json = serde_json::to_string(&signed).unwrap();
        let read: SignedHead = serde_json::from_str(&json).unwrap();
        assert_eq!(read.is_signed_with(b"a key"), Ok(true));
        assert_eq!(read.is_signed_with(b"another"), Ok(false));
        let changed = SignedHead { at: Timestamp::from_millis(8), ..read };
        assert_eq!(changed.is_signed_with(b"a key"), Ok(false));
    }
}
