//! The same customer's ids in other systems.

use std::{fmt, str::FromStr};

use super::{
    key::{CustomerId, CustomerKey, TenantId},
    restriction::Source,
    time::Timestamp,
};

/// A source's own id of some customer. In a tenant it is of one customer at most.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Alias {
    /// In which tenant.
    pub tenant: TenantId,
    /// Whose id.
    pub source: Source,
    /// The id.
    pub id: CustomerId,
}

/// As a store names it: `tenant:source:id`. Neither tenant nor source has a colon.
impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.tenant, self.source, self.id)
    }
}

/// What a store says of an alias. Only the customer's own record tells whether it is so: a claim is
/// made before the record lists the alias, and given back after it no longer does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Claim {
    /// Whose it is.
    pub customer: CustomerKey,
    /// Since when.
    pub since: Timestamp,
}

/// As a store keeps it: milliseconds since 1970, a space, and `tenant:id`.
impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.since.as_millis(), self.customer)
    }
}

impl FromStr for Claim {
    type Err = InvalidClaim;

    fn from_str(raw: &str) -> Result<Self, InvalidClaim> {
        let (since, customer) = raw.split_once(' ').ok_or(InvalidClaim)?;
        let since = since.parse().map(Timestamp::from_millis).map_err(|_| InvalidClaim)?;
        let customer = CustomerKey::parse(customer).map_err(|_| InvalidClaim)?;
        Ok(Self { customer, since })
    }
}

/// Text that is no claim.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("is no claim of an alias")]
pub struct InvalidClaim;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_reads_back_and_an_alias_tells_its_parts_apart() {
        let customer = CustomerKey::parse("acme:a:b").unwrap();
        let claim = Claim { customer, since: Timestamp::from_millis(7) };
        assert_eq!(claim.to_string(), "7 acme:a:b");
        assert_eq!(claim.to_string().parse(), Ok(claim));
        for raw in ["", "7", "7 acme", "x acme:c1", "7  acme:c1"] {
            assert_eq!(raw.parse::<Claim>(), Err(InvalidClaim), "{raw}");
        }
        let alias = Alias {
            tenant: TenantId::parse("acme").unwrap(),
            source: Source::parse("stripe").unwrap(),
            id: CustomerId::parse("cus:1").unwrap(),
        };
        assert_eq!(alias.to_string(), "acme:stripe:cus:1");
    }
}
