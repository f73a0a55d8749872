//! Who a customer is: the tenant and the id, checked once at the door.

use std::{borrow::Borrow, fmt, num::NonZeroU16, str::FromStr, sync::Arc};

use arrayvec::ArrayString;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh64::xxh64;

use super::alias::Alias;

/// A tenant's name: 1 to 128 bytes of `[A-Za-z0-9._@-]`.
///
/// Holding one is proof that it was checked, so it is safe in a store key or a log line.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String")]
pub struct TenantId(Arc<str>);

impl TenantId {
    /// Checks `raw` and keeps it.
    pub fn parse(raw: &str) -> Result<Self, InvalidKey> {
        Self::check(raw).map(|raw| Self(raw.into()))
    }

    /// Checks `raw` and gives it back.
    pub fn check(raw: &str) -> Result<&str, InvalidKey> {
        if is_tenant(raw) { Ok(raw) } else { Err(InvalidKey::Tenant) }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TenantId {
    type Error = InvalidKey;

    fn try_from(raw: String) -> Result<Self, InvalidKey> {
        Self::parse(&raw)
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A customer's id within its tenant: 1 to 128 bytes of `[A-Za-z0-9._:@-]`, not `.` or `..`.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String")]
pub struct CustomerId(Arc<str>);

impl CustomerId {
    /// Checks `raw` and keeps it.
    pub fn parse(raw: &str) -> Result<Self, InvalidKey> {
        if is_customer(raw) { Ok(Self(raw.into())) } else { Err(InvalidKey::Customer) }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for CustomerId {
    type Error = InvalidKey;

    fn try_from(raw: String) -> Result<Self, InvalidKey> {
        Self::parse(&raw)
    }
}

impl fmt::Display for CustomerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A customer's full name, `tenant:id`. The first colon splits, so the same id under two
/// tenants is two customers.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CustomerKey(
    /// There are millions of these, and nobody has a weak reference to one.
    triomphe::Arc<str>,
);

impl CustomerKey {
    /// Joins two checked names.
    #[must_use]
    pub fn new(TenantId(tenant): &TenantId, CustomerId(id): &CustomerId) -> Self {
        Self([tenant, ":", id].concat().into())
    }

    /// Joins a tenant and the id `raw`, which is checked.
    pub fn of(tenant: &TenantId, raw: &str) -> Result<Self, InvalidKey> {
        CustomerName::of(tenant.as_str(), raw).map(|name| name.to_key())
    }

    /// Reads `tenant:id`, as a store holds it.
    pub fn parse(raw: &str) -> Result<Self, InvalidKey> {
        let (tenant, id) = raw.split_once(':').ok_or(InvalidKey::Customer)?;
        match (is_tenant(tenant), is_customer(id)) {
            (false, _) => Err(InvalidKey::Tenant),
            (true, false) => Err(InvalidKey::Customer),
            (true, true) => Ok(Self(raw.into())),
        }
    }

    /// `tenant:id`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the first colon.
    #[must_use]
    pub fn tenant(&self) -> &str {
        parts(&self.0).0
    }

    /// The part after the first colon.
    #[must_use]
    pub fn id(&self) -> &str {
        parts(&self.0).1
    }
}

impl Borrow<str> for CustomerKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A customer's full name, `tenant:id`, as a question tells it: in its place, since most customers are
/// only asked about, and nothing is allocated for that.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CustomerName(ArrayString<{ MAX_BYTES + 1 + MAX_BYTES }>);

impl CustomerName {
    /// Checks both parts and joins them.
    pub fn of(tenant: &str, id: &str) -> Result<Self, InvalidKey> {
        TenantId::check(tenant)?;
        if !is_customer(id) {
            return Err(InvalidKey::Customer);
        }
        let mut name = ArrayString::new();
        let joined = [tenant, ":", id].into_iter().try_for_each(|part| name.try_push_str(part));
        // What was checked has room.
        joined.map(|()| Self(name)).map_err(|_| InvalidKey::Customer)
    }
}

/// Whoever bears a customer's full name.
pub trait Named {
    /// `tenant:id`.
    fn name(&self) -> &str;

    /// The name, to be kept.
    fn to_key(&self) -> CustomerKey;

    /// The part before the first colon.
    fn tenant(&self) -> &str {
        parts(self.name()).0
    }

    /// The part after the first colon.
    fn id(&self) -> &str {
        parts(self.name()).1
    }
}

impl Named for CustomerKey {
    fn name(&self) -> &str {
        &self.0
    }

    fn to_key(&self) -> CustomerKey {
        self.clone()
    }
}

impl Named for CustomerName {
    fn name(&self) -> &str {
        &self.0
    }

    fn to_key(&self) -> CustomerKey {
        CustomerKey(self.name().into())
    }
}

impl fmt::Display for CustomerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for CustomerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One of the parts that a store is cut into. All keys of a part live on one node.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Partition(pub u16);

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many partitions a store has: 1 to 1024. Fixed when the store is created.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Partitions(NonZeroU16);

impl Partitions {
    /// One, which suits every store but a cluster.
    pub const ONE: Self = Self(NonZeroU16::MIN);

    /// A few for each node of a cluster.
    pub const OF_A_CLUSTER: Self = match NonZeroU16::new(16) {
        Some(count) => Self(count),
        None => Self::ONE,
    };

    /// Checks `count` and keeps it.
    pub fn new(count: u16) -> Result<Self, InvalidPartitions> {
        let count = NonZeroU16::new(count).filter(|count| count.get() <= MAX_PARTITIONS);
        count.map(Self).ok_or(InvalidPartitions)
    }

    /// The number.
    #[must_use]
    pub const fn count(self) -> u16 {
        self.0.get()
    }

    /// All of them, in order.
    pub fn all(self) -> impl DoubleEndedIterator<Item = Partition> + ExactSizeIterator + Clone {
        (0..self.count()).map(Partition)
    }

    /// The one that holds `customer`: XXH64 with seed 0, modulo.
    #[must_use]
    pub fn of(self, customer: &impl Named) -> Partition {
        self.of_named(customer.name())
    }

    /// The one that tells whose `alias` is, in the same way.
    #[must_use]
    pub fn of_alias(self, alias: &Alias) -> Partition {
        if self == Self::ONE { Partition(0) } else { self.of_named(&alias.to_string()) }
    }

    /// The one that holds the customer with this full name.
    #[must_use]
    pub fn of_named(self, name: &str) -> Partition {
        if self == Self::ONE {
            return Partition(0);
        }
        let slot = xxh64(name.as_bytes(), 0) % u64::from(self.count());
        Partition(u16::try_from(slot).unwrap_or(0))
    }
}

impl FromStr for Partitions {
    type Err = InvalidPartitions;

    fn from_str(raw: &str) -> Result<Self, InvalidPartitions> {
        raw.parse().map_err(|_| InvalidPartitions).and_then(Self::new)
    }
}

impl fmt::Display for Partitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number of partitions that breaks its rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the number of partitions must be 1 to {MAX_PARTITIONS}")]
pub struct InvalidPartitions;

/// A tenant or customer id that breaks its rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidKey {
    /// The customer id is wrong.
    #[error("a customer id must be 1 to 128 bytes of [A-Za-z0-9._:@-], and not `.` or `..`")]
    Customer,
    /// The tenant is wrong.
    #[error("a tenant must be 1 to 128 bytes of [A-Za-z0-9._@-]")]
    Tenant,
}

/// Tenant and id of a full name.
fn parts(name: &str) -> (&str, &str) {
    name.split_once(':').unwrap_or_default()
}

fn is_tenant(raw: &str) -> bool {
    is_key(raw, |byte| matches!(byte, b'.' | b'_' | b'@' | b'-'))
}

fn is_customer(raw: &str) -> bool {
    is_key(raw, |byte| matches!(byte, b'.' | b'_' | b':' | b'@' | b'-'))
        && !matches!(raw, "." | "..")
}

fn is_key(raw: &str, is_mark: impl Fn(u8) -> bool) -> bool {
    (1..=MAX_BYTES).contains(&raw.len())
        && raw.bytes().all(|byte| byte.is_ascii_alphanumeric() || is_mark(byte))
}

const MAX_BYTES: usize = 128;
/// More would only cost: a node of a cluster is well served by a few.
const MAX_PARTITIONS: u16 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_colon_splits_tenant_and_id() {
        let key = CustomerKey::parse("acme:eu:7").unwrap();
        assert_eq!((key.tenant(), key.id()), ("acme", "eu:7"));
    }

    #[test]
    fn a_name_that_is_asked_about_is_the_key_that_it_is_kept_as() {
        let (tenant, id) = ("t".repeat(128), "i".repeat(128));
        for (tenant, id) in [("acme", "eu:7"), (tenant.as_str(), id.as_str())] {
            let name = CustomerName::of(tenant, id).unwrap();
            assert_eq!((name.tenant(), name.id()), (tenant, id));
            let key = CustomerKey::new(
                &TenantId::parse(tenant).unwrap(),
                &CustomerId::parse(id).unwrap(),
            );
            assert_eq!((name.to_key(), name.name()), (key.clone(), key.as_str()));
        }
        assert_eq!(CustomerName::of("a b", "c"), Err(InvalidKey::Tenant));
        assert_eq!(CustomerName::of("a", ""), Err(InvalidKey::Customer));
    }

    #[test]
    fn a_wingback_id_is_a_customer_id() {
        assert!(CustomerId::parse("Cust_c40bea18-c0c9-44b1-bd0c-43f5283e1670").is_ok());
    }

    #[test]
    fn ids_that_break_the_rule_are_refused() {
        let long = "a".repeat(129);
        for raw in ["", ".", "..", "a b", "a,b", "a/b", "é", "a\0", long.as_str()] {
            assert_eq!(CustomerId::parse(raw), Err(InvalidKey::Customer), "{raw:?}");
        }
        for raw in ["", "a:b", "a b", "a/b", long.as_str()] {
            assert_eq!(TenantId::parse(raw), Err(InvalidKey::Tenant), "{raw:?}");
        }
    }

    #[test]
    fn a_partition_is_the_published_hash() {
        // XXH64("default:c1", seed 0), from the reference implementation.
        let key = CustomerKey::parse("default:c1").unwrap();
        assert_eq!(Partitions::ONE.of(&key), Partition(0));
        let partitions = Partitions::new(64).unwrap();
        assert_eq!(u64::from(partitions.of(&key).0), xxh64(b"default:c1", 0) % 64);
    }

    #[test]
    fn a_number_of_partitions_is_1_to_1024() {
        let numbers = ["1", "1024", "0", "1025", "-1", "many"];
        let read = numbers.map(|raw| raw.parse::<Partitions>().map(Partitions::count).ok());
        assert_eq!(read, [Some(1), Some(1024), None, None, None, None]);
    }
}
